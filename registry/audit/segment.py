"""The journal's file format: one segment file per writer, made of groups of entries.

A segment starts with a header: magic and format version (8 bytes), a mark chosen at random for
this segment (8 bytes), CRC-32 of both (u32). Groups follow, each one write and one sync: the mark,
CRC-32 of the mark and of what follows this field (u32), size of the body (u32), number of entries
(u32), body. The body is a msgpack array of `Entry`. Numbers are little-endian. Zeros
that no group has overwritten yet may follow.

How a reader tells a torn tail from damage: a group is written only after the one before it was
synced, and a segment that lost its writer is never written again. So a bad group with no whole
group after it is taken for one that was never acknowledged: the crash tore it, and it is dropped
without a word. A bad group with a whole group after it had been durable: it is reported, and
reading goes on behind it. Looking for that later group must not find one that a caller planted
inside a payload, and this is why the mark is random and stays in the file.

The writer (`registry.audit.segment_writer`) holds an exclusive lock on its segment while it lives,
so the kernel seals the segment of a writer that died.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from registry.entry import Entry
from registry.errors import StoreIncompatible

SUFFIX = ".segment"
MAX_BODY = 256 << 20  # bytes; a longer body is refused by the writer and not believed by a reader
MARK_SIZE = 8  # bytes

_MAGIC = b"GGJRNL\x00\x01"
_HEADER = struct.Struct("<8s8sI")  # magic, mark, checksum of both
_GROUP = struct.Struct("<8sIII")  # mark, checksum, size of the body, number of entries
_CHECKED = struct.calcsize("<8sI")  # where the bytes after a group's checksum begin
_SCAN_SIZE = 1 << 20

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


class Group(Struct, frozen=True):
    """One group commit, whole, at bytes `start` to `end` of its segment."""

    start: int
    end: int
    entries: list[Entry]


class Damage(Struct, frozen=True):
    """Bytes `start` to `end` of a segment held durable records, and can no longer be read."""

    start: int
    end: int


def encode_header(mark: bytes) -> bytes:
    """Write the bytes that a segment with this mark starts with."""
    start = _MAGIC + mark
    return start + struct.pack("<I", zlib.crc32(start))


def encode_group(mark: bytes, entries: Sequence[Entry]) -> bytearray:
    """Write the bytes of one group. Raises ValueError where it is longer than `MAX_BODY`."""
    group = bytearray(_GROUP.size)
    _encoder.encode_into(entries, group, _GROUP.size)
    length = len(group) - _GROUP.size
    if length > MAX_BODY:
        raise ValueError(f"a group of {length} bytes is longer than {MAX_BODY}")
    _GROUP.pack_into(group, 0, mark, 0, length, len(entries))
    with memoryview(group) as view, view[_CHECKED:] as checked:
        struct.pack_into("<I", group, MARK_SIZE, zlib.crc32(checked, zlib.crc32(mark)))
    return group


def list_segments(directory: Path) -> list[Path]:
    """Name the segments of a folder, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def is_sealed(path: Path) -> bool:
    """Say whether no writer is left, so that the segment will never grow again.

    Ask before reading: what is read after a yes is all there will ever be. Raises FileNotFoundError
    where the segment is gone.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that two who ask do not collide
        # A writer makes the file before it can lock it, and writes the header under the lock.
        return os.fstat(fd).st_size >= _HEADER.size
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def read_groups(segment: Path | int, offset: int = 0) -> Iterator[Group | Damage]:
    """Read the groups of a segment in order, from the start or from the end of an earlier group.

    `segment` is a path or an open descriptor, which stays open and keeps its position. Stops before
    a torn tail and before a group that a live writer has not finished: the `end` read last is the
    offset to go on from. Holds one group in memory at a time. Raises StoreIncompatible where the
    segment has a format that this code does not know.
    """
    if isinstance(segment, int):
        yield from _read(segment, offset)
        return
    fd = os.open(segment, os.O_RDONLY)
    try:
        yield from _read(fd, offset)
    finally:
        os.close(fd)


def _read(fd: int, offset: int) -> Iterator[Group | Damage]:
    size = os.fstat(fd).st_size
    if size <= _HEADER.size:
        return
    mark, damage = _read_mark(fd, size)
    if damage is not None and offset < damage.end:
        yield damage
    if mark is None:
        return
    at = max(offset, _HEADER.size)
    while group := _next_group(fd, mark, at):
        if group.start > at:
            yield Damage(at, group.start)
        yield group
        at = group.end


def _read_mark(fd: int, size: int) -> tuple[bytes | None, Damage | None]:
    """Find the segment's mark in its header, or in its first group where the header is damaged.

    The header is synced before the first group, so a bad one with bytes after it is never torn.
    """
    header = os.pread(fd, _HEADER.size, 0)
    magic, mark, checksum = _HEADER.unpack(header)
    if checksum == zlib.crc32(header[: len(magic) + len(mark)]):
        if magic != _MAGIC:
            raise StoreIncompatible("A journal segment has a format that this release cannot read.")
        return mark, None
    mark = os.pread(fd, MARK_SIZE, _HEADER.size)
    if _group_at(fd, mark, _HEADER.size) is None:
        return None, Damage(0, size)
    return mark, Damage(0, _HEADER.size)


def _next_group(fd: int, mark: bytes, at: int) -> Group | None:
    """Read the first whole group at or after `at`."""
    group = _group_at(fd, mark, at)
    if group is not None:
        return group
    later = _find_group(fd, mark, at + 1)
    if later is None:
        return None
    # A live writer may have finished the group at `at` since the first look, and others after it.
    return _group_at(fd, mark, at) or later


def _group_at(fd: int, mark: bytes, at: int) -> Group | None:
    """Read the group that starts at `at`, if a whole one does."""
    head = os.pread(fd, _GROUP.size, at)
    if len(head) < _GROUP.size:
        return None
    found, checksum, length, count = _GROUP.unpack(head)
    end = at + _GROUP.size + length
    if found != mark or length > MAX_BODY or end > os.fstat(fd).st_size:
        return None
    body = os.pread(fd, length, at + _GROUP.size)
    if zlib.crc32(body, zlib.crc32(head[_CHECKED:], zlib.crc32(mark))) != checksum:
        return None
    try:
        entries = _decoder.decode(body)
    except msgspec.DecodeError:
        return None
    return Group(at, end, entries) if len(entries) == count else None


def _find_group(fd: int, mark: bytes, at: int) -> Group | None:
    """Look for a whole group from `at` on, in bounded memory."""
    overlap = len(mark) - 1
    while len(chunk := os.pread(fd, _SCAN_SIZE, at)) > overlap:
        hit = chunk.find(mark)
        if hit < 0:
            at += len(chunk) - overlap
            continue
        group = _group_at(fd, mark, at + hit)
        if group is not None:
            return group
        at += hit + 1
    return None
