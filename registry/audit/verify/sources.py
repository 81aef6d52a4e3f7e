"""Where a log is read from: what every source answers, and a static export that does.

A source hands over bytes as they lie there; it judges nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from registry.audit.verify.encoding import read_base64
from registry.audit.verify.faults import Malformed
from registry.audit.verify.leaves import Columns, OpenPayload
from registry.audit.verify.notes import LARGEST_NOTE
from registry.audit.verify.tiles import WIDTH, bundle_path, split_bundle, tile_path

# A record as it is kept: its leaf, and what is kept beside it for queries.
Row = tuple[bytes, Columns | None]


class Source(Protocol):
    """A log at one moment. Every verb raises Malformed where it cannot read what it needs."""

    def vkeys(self) -> list[str]:
        """Return the verifier keys that lie beside the log."""
        ...

    def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint."""
        ...

    def history(self) -> Iterator[bytes]:
        """Yield every checkpoint that is kept besides, the smallest first."""
        ...

    def size(self, signed: int) -> int:
        """Say how many records there are, where the newest checkpoint has `signed`."""
        ...

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return the hashes of a tile, of which the log's size demands `width`."""
        ...

    def rows(self, start: int, width: int) -> list[Row | None]:
        """Return the records from `start` on, as many as there are; None for one that is gone."""
        ...

    def payloads(self) -> Iterator[tuple[int, OpenPayload]]:
        """Yield each payload that can be read with the index of its record, the smallest first."""
        ...


class ExportSource:
    """A directory as tlog-tiles lays it out, with `checkpoint` and `vkey` beside the tiles.

    An entry of no bytes stands for a record that is gone. `payloads.ndjson` has an object for each
    payload: `index`, and `salt`, `input` and `output` in base64.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def vkeys(self) -> list[str]:
        return self._read("vkey").decode(errors="replace").splitlines()

    def checkpoint(self) -> bytes:
        return self._read("checkpoint")

    def history(self) -> Iterator[bytes]:
        return iter(())

    def size(self, signed: int) -> int:
        return signed

    def tile(self, level: int, number: int, width: int) -> bytes:
        return self._read(tile_path(level, number, width))

    def rows(self, start: int, width: int) -> list[Row | None]:
        bundle = self._read(bundle_path(start // WIDTH, width))
        return [(entry, None) if entry else None for entry in split_bundle(bundle)]

    def payloads(self) -> Iterator[tuple[int, OpenPayload]]:
        path = self._directory / "payloads.ndjson"
        if path.exists():
            with path.open("rb") as lines:
                yield from map(_read_payload, lines)

    def _read(self, name: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except OSError as error:
            raise Malformed(f"file {name}", "cannot be read") from error


def read_file(path: Path) -> bytes:
    """Return the bytes of a note or receipt. Raises Malformed where it is far too long for one."""
    with path.open("rb") as file:
        found = file.read(2 * LARGEST_NOTE + 1)
    if len(found) > 2 * LARGEST_NOTE:
        raise Malformed(f"file {path.name}", "is too long")
    return found


def _read_payload(line: bytes) -> tuple[int, OpenPayload]:
    try:
        told = json.loads(line)
        index = int(told["index"])
        salt, given, answered = (told[name] for name in ("salt", "input", "output"))
        payload = OpenPayload(
            read_base64(salt, "payload"),
            None if given is None else read_base64(given, "payload"),
            None if answered is None else read_base64(answered, "payload"),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed("file payloads.ndjson", "has a line that is no payload") from error
    return index, payload
