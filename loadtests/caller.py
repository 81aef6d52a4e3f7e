"""One caller of a model under load, over a connection of its own that stays open.

As little as can send a request and read an answer whole: the load must leave the gateway its cores.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from msgspec import Struct

_END = b"\r\n\r\n"


class Target(Struct, frozen=True, kw_only=True):
    """The model under load: requests, and what bytes of an output each version may have for each.

    They are those of the row alone, and of the row among others: sums go in another order there.
    The bodies ask for binary outputs. `data_dir` is the gateway's own, in which rollouts start.
    """

    url: str
    key: str
    model: str
    bodies: Sequence[bytes]
    output: str
    expected: Mapping[str, Sequence[frozenset[bytes]]]
    data_dir: Path

    def client(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=10)


class Answer(Struct, frozen=True):
    """An answer: its status, its fields by their names in lower case, and its body."""

    status: int
    fields: Mapping[str, str]
    content: bytes


class Caller:
    """Asks one question after the other; a connection that breaks is made anew."""

    def __init__(self, target: Target) -> None:
        self._host, port = target.url.removeprefix("http://").split(":")
        self._port = int(port)
        self._head = (
            f"POST /v2/models/{target.model}/infer HTTP/1.1\r\n"
            f"host: {self._host}:{port}\r\n"
            f"authorization: Bearer {target.key}\r\n"
            "content-type: application/json\r\ncontent-length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> Answer:
        """Return the answer to a body. Raises OSError and EOFError where there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        try:
            writer.write(self._head + b"%d" % len(body) + _END + body)
            head = (await reader.readuntil(_END)).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            fields = {name.lower(): value for name, value in pairs}
            content = await reader.readexactly(int(fields["content-length"]))
        except (OSError, EOFError):
            self.close()
            raise
        return Answer(int(first.split()[1]), fields, content)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
