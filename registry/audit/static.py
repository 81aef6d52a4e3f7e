"""The log as files that any tool for tlog-tiles reads, and that need no gateway.

`checkpoint` and `vkey` lie beside the tiles, and `payloads.ndjson` where payloads are asked for.
"""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from registry.entry import read_heading
from registry.errors import Conflict, Gone, NotPublished
from registry.reader import Reader
from registry.records import SignedCheckpoint
from registry.store import Store
from registry.tlog.note import BadNote, Checkpoint
from registry.tlog.tiles import WIDTH, TileNodes, bundle_path, names_of, tile_path, write_bundle
from registry.tlog.tree import HASH_SIZE, leaf_hash, root_hash

_PAYLOADS = "payloads.ndjson"
# What an export has, or left behind where it was interrupted.
_NAMES = {"tile", "vkey", "checkpoint", _PAYLOADS}
_OURS = _NAMES | {f".{name}.draft" for name in _NAMES}


class Exported(Struct, frozen=True, kw_only=True):
    """An export: the size of the log that it holds, and how many files had to be written."""

    size: int
    written: int


def export_tiles(store: Store, directory: Path, *, payloads: bool = False) -> Exported:
    """Make a directory hold the log as it is under its newest checkpoint.

    What is there already and still holds is left alone, so that a later export writes what came
    since, and one that was interrupted is carried on. An entry of no bytes stands for a record that
    retention removed. The checkpoint comes last: until then the directory is what it was before.
    Raises NotPublished, and Conflict where the directory holds something else.
    """
    with store.snapshot() as view:
        signed = _published(view)
        _check_target(directory, view, signed.size)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = _Files(directory)
        for path, data in _tiles(view, signed.size):
            files.put(path, data)
        if payloads:
            files.put_lines(_PAYLOADS, _payloads(view, signed.size))
        else:
            (directory / _PAYLOADS).unlink(missing_ok=True)
        vkey = view.origins()[-1].vkey
    os.sync()
    files.put("vkey", f"{vkey}\n".encode())
    files.put("checkpoint", signed.note.encode())
    files.drop_partial()
    return Exported(size=signed.size, written=files.written)


class _Files:
    """The files of an export; each is whole or not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._partial: set[Path] = set()
        self.written = 0

    def put(self, name: str, data: bytes) -> None:
        path = self._directory / name
        if path.parent.name.endswith(".p"):
            self._partial.add(path)
        with suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return
        self.put_lines(name, [data])

    def put_lines(self, name: str, lines: Iterable[bytes]) -> None:
        path = self._directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        with suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.writelines(lines)
        draft.replace(path)
        self.written += 1

    def drop_partial(self) -> None:
        """Drop the partial tiles of smaller trees, which no checkpoint here needs any more."""
        for folder in list((self._directory / "tile").rglob("*.p")):
            for path in folder.iterdir():
                if path not in self._partial:
                    path.unlink()
            with suppress(OSError):  # not empty
                folder.rmdir()


def _published(view: Reader) -> SignedCheckpoint:
    signed = view.checkpoint()
    if signed is None:
        raise NotPublished("the log")
    # Whoever checks the export must find in it what tells of the records that are gone.
    for leaf in view.leaves(signed.size, view.tree_size()):
        if read_heading(leaf).kind == "removal":
            raise NotPublished("the newest removal")
    return signed


def _check_target(directory: Path, view: Reader, size: int) -> None:
    """Refuse to lay this log over anything but an older export of it."""
    path = directory / "checkpoint"
    if not path.exists():
        if directory.is_dir() and any(found.name not in _OURS for found in directory.iterdir()):
            raise Conflict(f"{directory} holds something else than an export of the log.")
        return
    try:
        old = Checkpoint.read(path.read_text())
    except (BadNote, UnicodeDecodeError) as error:
        raise Conflict(f"The checkpoint in {directory} cannot be read.") from error
    if old.size > size or root_hash(old.size, TileNodes(view.tile)) != old.root:
        raise Conflict(f"{directory} holds an export that this log does not continue.")


def _tiles(view: Reader, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the path and bytes of each tile and bundle of a tree."""
    for name in names_of(size):
        start = name.number * WIDTH
        hashes = view.tile(0, name.number)[: name.width * HASH_SIZE]
        yield tile_path(0, name), hashes
        leaves = view.leaves(start, start + name.width)
        yield bundle_path(name), write_bundle(_entries(leaves, hashes))
    level = 1
    while names := names_of(size, level):
        for name in names:
            yield tile_path(level, name), view.tile(level, name.number)[: name.width * HASH_SIZE]
        level += 1


def _entries(leaves: list[bytes], hashes: bytes) -> list[bytes]:
    """Put leaves where their hashes are; what is gone leaves an empty entry in its place."""
    if len(leaves) * HASH_SIZE == len(hashes):
        return leaves
    entries: list[bytes] = []
    left = iter(leaves)
    leaf = next(left, None)
    for at in range(0, len(hashes), HASH_SIZE):
        if leaf is not None and leaf_hash(leaf) == hashes[at : at + HASH_SIZE]:
            entries.append(leaf)
            leaf = next(left, None)
        else:
            entries.append(b"")
    return entries


def _payloads(view: Reader, size: int) -> Iterator[bytes]:
    """Yield a line for each payload that is kept: its record's index, salt, input and output."""
    for start in range(0, size, WIDTH):
        for leaf in view.leaves(start, min(start + WIDTH, size)):
            record_id = read_heading(leaf).id
            try:
                found, payload = view.record(record_id), view.payload(record_id)
            except Gone:
                continue
            if found is not None and payload is not None:
                told = {
                    "index": found[0],
                    "salt": _base64(payload.salt),
                    "input": _base64(payload.input),
                    "output": _base64(payload.output),
                }
                yield json.dumps(told).encode() + b"\n"


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
