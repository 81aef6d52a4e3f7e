"""The log of a data directory, read while its gateway runs: one snapshot, and no write."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from registry.audit.verify.faults import Malformed, Misfit
from registry.audit.verify.leaves import OpenPayload
from registry.audit.verify.proofs import HASH_SIZE
from registry.audit.verify.sources import Row
from registry.audit.verify.tiles import WIDTH, level_count

_FORMATS = (3, 4, 5)  # which hold the log in the same tables
_BUSY_TIMEOUT_MS = 10_000
_ROWS = """
    SELECT idx, leaf, stream, id, request_id, principal FROM record
    WHERE idx >= ? AND idx < ? ORDER BY idx
"""
_STREAMS = "SELECT number, kind, outcome, model, version, lane FROM stream"
_CHECKPOINTS = "SELECT size, root, note FROM checkpoint"
_PAYLOADS = "SELECT idx, salt, input, output FROM payload WHERE length(salt) > 0 ORDER BY idx"


class StoreSource:
    """The store of a data directory as it was when this was made.

    Payloads that are sealed for a person are passed over: their keys are not in the store. Raises
    Malformed where there is no store, or one of a format that is not known here.
    """

    def __init__(self, data_dir: Path) -> None:
        self._edge: list[bytes] = []
        self._streams: dict[int, tuple[object, ...]] = {}
        try:
            path = str(data_dir / "store.sqlite3")
            self._connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        except apsw.Error as error:
            raise Malformed("store", "cannot be opened") from error
        self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        try:
            self._begin()
        except Malformed:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def vkeys(self) -> list[str]:
        return [vkey for (vkey,) in self._ask("SELECT vkey FROM origin ORDER BY sequence")]

    def checkpoint(self) -> bytes:
        for row in self._ask(f"{_CHECKPOINTS} ORDER BY size DESC LIMIT 1"):
            return _note_of(row)
        raise Malformed("store", "holds no checkpoint")

    def history(self) -> Iterator[bytes]:
        older = "size < (SELECT max(size) FROM checkpoint) ORDER BY size"
        return map(_note_of, self._each(f"{_CHECKPOINTS} WHERE {older}"))

    def size(self, signed: int) -> int:
        size, self._edge = self._read_edge()
        self._check_bounds(size)
        self._streams = {number: tuple(stream) for number, *stream in self._ask(_STREAMS)}
        return size

    def tile(self, level: int, number: int, width: int) -> bytes:
        if width < WIDTH:
            return self._edge[level]
        query = "SELECT hashes FROM tile WHERE level = ? AND number = ?"
        found = self._ask(query, (level, number))
        if not found:
            raise Malformed(f"tile {number} of level {level}", "is missing")
        return bytes(found[0][0])

    def rows(self, start: int, width: int) -> list[Row | None]:
        rows: list[Row | None] = [None] * width
        for index, leaf, stream, *own in self._ask(_ROWS, (start, start + width)):
            columns = (*own, *self._streams.get(stream, ()))
            rows[index - start] = (leaf, columns)
        return rows

    def payloads(self) -> Iterator[tuple[int, OpenPayload]]:
        for index, *payload in self._each(_PAYLOADS):
            yield index, OpenPayload(*payload)

    def _begin(self) -> None:
        self._ask("BEGIN")
        [(found,)] = self._ask("PRAGMA user_version")
        if found not in _FORMATS:
            raise Malformed("store", f"has format {found}, and {_FORMATS} are read here")

    def _read_edge(self) -> tuple[int, list[bytes]]:
        """Return the tree's size and the partial tiles, which lie one after another."""
        [(size, packed)] = self._ask("SELECT size, frontier FROM tree") or [(-1, b"")]
        edge: list[bytes] = []
        at = 0
        for level in range(level_count(max(size, 0))):
            end = at + HASH_SIZE * ((size >> 8 * level) % WIDTH)
            edge.append(packed[at:end])
            at = end
        if size < 0 or at != len(packed):
            raise Malformed("store", "has an edge of its tree that is not of the tree's size")
        return size, edge

    def _check_bounds(self, size: int) -> None:
        """Refuse what is stored where the tree has no place for it."""
        [(first, last)] = self._ask("SELECT min(idx), max(idx) FROM record")
        if last is not None and (first < 0 or last >= size):
            index = first if first < 0 else last
            raise Misfit(f"The tree of {size} records has no place for it.", first=index)
        [(found,)] = self._ask("SELECT count(*) FROM tile")
        tiles = sum(size >> 8 * level for level in range(1, len(self._edge) + 1))
        if found != tiles:
            raise Malformed("store", f"has {found} full tiles, and its tree {tiles}")

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return list(self._each(query, values))

    def _each(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, values)
        except apsw.Error as error:
            raise Malformed("store", f"cannot be read to its end: {error}") from error


def _note_of(row: Sequence[Any]) -> bytes:
    """Return the note of a checkpoint, which must say what the columns beside it do."""
    size, root, note = row
    if note.split("\n")[1:3] != [str(size), base64.b64encode(root).decode()]:
        raise Malformed(f"checkpoint at {size} records", "is not what its columns say")
    return str(note).encode()
