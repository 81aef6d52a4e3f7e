"""Bytes on a socket, for requests that no client library would send."""

import socket
from types import TracebackType
from typing import Self

from msgspec import Struct

from tests.http.world import World

_TIMEOUT_S = 10


class WireAnswer(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers["content-type"]


class Wire:
    """One connection to the gateway, with the key of a caller that may do everything."""

    def __init__(self, world: World) -> None:
        host, port = world.gateway.url.removeprefix("http://").split(":")
        self.key = b"authorization: Bearer " + world.tokens["all"].encode() + b"\r\n"
        self._socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def begin(self, path: bytes, *headers: bytes, method: bytes = b"POST") -> None:
        """Send a request's head."""
        lines = b"".join(header + b"\r\n" for header in headers)
        self.send(method + b" " + path + b" HTTP/1.1\r\nhost: x\r\n" + self.key + lines + b"\r\n")

    def post(self, path: bytes, body: bytes, *headers: bytes) -> None:
        self.begin(path, b"content-length: %d" % len(body), *headers)
        self.send(body)

    def read(self) -> WireAnswer:
        """Read one answer that says its length, or that ends with the connection."""
        while b"\r\n\r\n" not in self._read:
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", -1))
        while length < 0 and not self.is_closed():
            pass
        while len(self._read) < length:
            self._receive()
        size = len(self._read) if length < 0 else length
        body, self._read = self._read[:size], self._read[size:]
        return WireAnswer(int(first.split()[1]), headers, body)

    def is_closed(self) -> bool:
        """Wait for more bytes or the end; say whether it was the end."""
        try:
            received = self._socket.recv(65_536)
        except ConnectionResetError:
            return True
        self._read += received
        return not received

    def check_alive(self) -> None:
        """See that the next request on this connection gets its own answer."""
        self.begin(b"/v2/health/live", method=b"GET")
        answer = self.read()
        assert (answer.status, answer.body) == (200, b'{"live":true}')

    def _receive(self) -> None:
        assert not self.is_closed(), f"the connection ended after {self._read!r}"
