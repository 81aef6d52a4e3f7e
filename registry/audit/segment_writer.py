"""The writer of a segment: what `append` returned from is durable, whatever the disk refuses later.

How the bytes stand in the file is said in `registry.audit.segment`.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from registry.audit.segment import MARK_SIZE, SUFFIX, encode_group, encode_header
from registry.entry import Entry, new_record_id, now_ns
from registry.errors import JournalBroken, JournalUnavailable
from registry.files import sync_folder

PREPARED = 1 << 20  # bytes of zeros that a writer keeps ahead of its groups


class SegmentWriter:
    """The only writer of one new segment; `size` is where its last durable group ends, in bytes.

    Raises JournalUnavailable where the disk refuses a new file, JournalBroken where it cannot be
    synced. The lock goes with the descriptor: a process that forks must not keep it in the child.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{new_record_id(now_ns())}{SUFFIX}"
        self.size = 0
        self._prepared = 0  # bytes of the file, of which those behind `size` are zeros
        self._mark = os.urandom(MARK_SIZE)
        self._broken = False
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _refusal(error) from error
        try:
            self._begin()
        except BaseException:
            os.close(self._fd)
            with suppress(OSError):  # a segment without groups harms nobody if it stays
                self.path.unlink()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Make the entries durable as one group.

        Raises JournalUnavailable where the disk refused them: then none of them is in the segment,
        and the next append may succeed. Raises JournalBroken where a sync or the way back from a
        refusal failed: the writer then does nothing more, because the kernel drops the pages of a
        failed sync and a second sync would succeed without them. Raises ValueError where the group
        is longer than `MAX_BODY`.
        """
        if self._broken:
            raise JournalBroken("an earlier sync failed")
        self._commit(encode_group(self._mark, entries))

    def close(self) -> None:
        """Seal the segment; every group in it is durable already."""
        with suppress(OSError):  # zeros that stay harm nobody
            os.ftruncate(self._fd, self.size)
        os.close(self._fd)

    def _begin(self) -> None:
        # `is_sealed` counts on the lock being held before the header is there.
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise _refusal(error) from error
        self._commit(encode_header(self._mark))
        try:
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._break("sync of the folder", error) from error

    def _commit(self, data: bytes | bytearray) -> None:
        end = self.size + len(data)
        try:
            # Not behind a header that is not synced yet: a reader that finds bytes behind a bad
            # header takes it for damage.
            if self.size and end > self._prepared:
                self._prepare(end)
            _write(self._fd, data, self.size)
        except OSError as error:
            self._take_back()
            raise _refusal(error) from error
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._break("sync", error) from error
        self.size = end

    def _prepare(self, end: int) -> None:
        """Fill the file with zeros to well behind `end`: a group that overwrites them syncs sooner.

        A sync then has no new length to make durable. Where there is no room for zeros, there may
        still be room for the group.
        """
        start, prepared = max(self.size, self._prepared), end + PREPARED
        try:
            _write(self._fd, bytes(prepared - start), start)
        except OSError:
            self._take_back()
        else:
            self._prepared = prepared

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            raise self._break("truncation", error) from error
        self._prepared = self.size

    def _break(self, operation: str, error: OSError) -> JournalBroken:
        self._broken = True
        return JournalBroken(f"{operation} failed, {_reason(error)}")


def _write(fd: int, data: bytes | bytearray, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, at)
        rest, at = rest[written:], at + written


def _refusal(error: OSError) -> JournalUnavailable:
    return JournalUnavailable(_reason(error))


def _reason(error: OSError) -> str:
    # Not str(error), which names the path.
    return error.strerror or type(error).__name__
