"""Where workers leave what they counted of the values they met, until the controller has taken it.

Each worker has a file of its own, under an id that no other ever has, and replaces it whole. Beside
it lies a lock that the worker holds while it writes there: so whoever finds the lock free knows
that the file will not change any more. A worker may leave a file and begin another, which counts
from zero. Nothing here loads numpy.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Struct

from registry.files import sync_folder
from registry.times import now, to_us
from registry.windows import CELL, LaneCounts, WorkerCounts

_COUNTS, _LOCK, _DRAFT = ".counts", ".lock", ".new"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(WorkerCounts)


class SummaryFile:
    """The file of one worker, made when there is something to write.

    Not synced: counts need only outlive the worker, not the machine. The lock goes with its
    descriptor: a process that forks must not keep it in the child.
    """

    def __init__(self, directory: Path) -> None:
        self.id = uuid4().hex
        self._directory = directory
        self._lock: int | None = None

    def write(self, lanes: Sequence[LaneCounts]) -> None:
        """Put all that was counted in place of what was written before. Raises OSError."""
        if self._lock is None:
            self._lock = self._take_lock()
        counts = WorkerCounts(self.id, to_us(now()), tuple(lanes))
        draft = self._path(_DRAFT)
        draft.write_bytes(_encoder.encode(counts))
        draft.replace(self._path(_COUNTS))

    def begin_next(self) -> "SummaryFile":
        """Leave this file as it was written last, and return one that has nothing yet."""
        self.close()
        return SummaryFile(self._directory)

    def close(self) -> None:
        """Say that what was written last is all there will be."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> int:
        """Make the lock, held already when it gets its name: nobody can find it free meanwhile."""
        draft = self._path(_DRAFT)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            draft.rename(self._path(_LOCK))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _path(self, suffix: str) -> Path:
        return self._directory / f"{self.id}{suffix}"


class Found(Struct, frozen=True):
    """What a worker wrote; `is_over` once it will write no more. `counts` is None if unreadable."""

    id: str
    counts: WorkerCounts | None
    is_over: bool


class Summaries:
    """The files of all workers, those of dead ones included, until they are removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the folder where there is none, and remove the locks of workers that wrote nothing.

        Counts stay, whoever wrote them: they are taken once more.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for lock in self._directory.glob(f"*{_LOCK}"):
            if not lock.with_suffix(_COUNTS).exists() and _is_free(lock):
                self.remove([lock.stem])

    def read(self) -> list[Found]:
        """Return what the file of each worker holds now. Raises OSError."""
        return [self._read(path) for path in sorted(self._directory.glob(f"*{_COUNTS}"))]

    def remove(self, ids: Sequence[str]) -> None:
        """Remove the files of workers that are over, for good when this returns. Raises OSError."""
        for one in ids:
            # The lock last: while the counts are there, it says whose they are.
            for suffix in (_DRAFT, _COUNTS, _LOCK):
                (self._directory / f"{one}{suffix}").unlink(missing_ok=True)
        if ids:
            sync_folder(self._directory)

    def _read(self, path: Path) -> Found:
        # Asked before reading: if its worker is over now, what is read is all there will be.
        is_over = _is_free(path.with_suffix(_LOCK))
        counts: WorkerCounts | None = None
        with suppress(msgspec.DecodeError):  # torn by a power failure
            counts = _decoder.decode(path.read_bytes())
        if counts is not None and any(len(lane.counts) % CELL for lane in counts.lanes):
            counts = None
        return Found(path.stem, counts, is_over)


def _is_free(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
