"""Bytes on a socket, for requests that no client library would send."""

import select
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from msgspec import Struct

from tests.builders import PATIENCE_S
from tests.http.hostile import Hostile
from tests.http.world import World

_DRIP_S = 0.05


class WireAnswer(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers["content-type"]


class Wire:
    """One connection to the gateway, with the key of a caller that may do everything."""

    def __init__(self, world: World, *, buffer_bytes: int | None = None) -> None:
        host, port = world.gateway.url.removeprefix("http://").split(":")
        self.key = b"authorization: Bearer " + world.tokens["all"].encode() + b"\r\n"
        self.token = world.tokens["all"]
        self._socket = socket.socket()
        if buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect((host, int(port)))
        # What is sent in parts shall travel in parts.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
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

    def send_parts(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.send(part)

    def send_all_but_read(self, data: bytes) -> int:
        """Send until all is sent, or nothing was taken for a second; return how much was."""
        sent = 0
        self._socket.settimeout(0)
        while sent < len(data) and select.select([], [self._socket], [], 1)[1]:
            sent += self._socket.send(data[sent : sent + 65_536])
        self._socket.settimeout(PATIENCE_S)
        return sent

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def play(self, hostile: Hostile) -> WireAnswer | None:
        """Send a hostile request, however little of it is taken; return its answer, if any."""
        try:
            self.send(hostile.to_bytes(self.token))
            for byte in hostile.drip:
                if select.select([self._socket], [], [], _DRIP_S)[0]:
                    break
                self.send(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before it was whole
        return self.read() if hostile.status else None

    def read(self, *, has_body: bool = True) -> WireAnswer:
        """Read one answer that says its length, or that ends with the connection."""
        while b"\r\n\r\n" not in self._read:
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split()[1])
        body = self._read_body(headers) if has_body and status != 100 else b""
        return WireAnswer(status, headers, body)

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

    def _read_body(self, headers: dict[str, str]) -> bytes:
        length = int(headers.get("content-length", -1))
        while length < 0 and not self.is_closed():
            pass
        while len(self._read) < length:
            self._receive()
        size = len(self._read) if length < 0 else length
        body, self._read = self._read[:size], self._read[size:]
        return body

    def _receive(self) -> None:
        assert not self.is_closed(), f"the connection ended after {self._read!r}"
