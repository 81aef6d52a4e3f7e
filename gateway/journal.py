"""Group commit: requests hand over their entries, one thread makes them durable, all wake at once.

No timer gathers a group. The entries of one turn of the event loop are handed over together at its
end, and those that arrive during a commit make the next group: the thread is woken once for each
group, since on a busy core every wake-up takes the processor from the loop. Nothing here knows what
an entry says.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from gateway.settings import SEGMENT_AGE_S
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry
from registry.errors import JournalBroken, JournalUnavailable

# A segment of this size or of its age is followed by a new one, so that the old one can go once its
# records are published.
SEGMENT_BYTES = 64 << 20
GROUP_BYTES = 8 << 20  # a group takes no further entry once it holds this much
ENTRY_BYTES = 64 << 20  # larger entries are a mistake of the caller: bodies are limited before
MAX_WAITING = 10_000


Done = Callable[[JournalUnavailable | JournalBroken | None], None]


class _Waiter(Struct, frozen=True, gc=False):
    """An entry on its way to the disk, its size in bytes, and who is told what became of it.

    Without an entry it only finds out whether the disk takes any.
    """

    entry: Entry | None
    size: int
    done: Done


class Journal:
    """The durable journal of one worker: made, used and closed on one event loop.

    `on_broken` is called on the loop, once, when a sync failed: the worker must end, and until then
    the journal refuses everything. `on_commit` is called in the journal's thread with the entries
    of each group that became durable and the seconds that took. Where the disk refuses the first
    segment, it refuses what is appended until there is room. Making a journal raises JournalBroken
    where that segment cannot be synced; `directory` must exist.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_broken: Callable[[BaseException], None],
        on_commit: Callable[[int, float], None] = lambda entries, seconds: None,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age_s: float = SEGMENT_AGE_S,
        group_bytes: int = GROUP_BYTES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._directory = directory
        self._on_broken = on_broken
        self._on_commit = on_commit
        self._segment_bytes = segment_bytes
        self._segment_age_s = segment_age_s
        self._group_bytes = group_bytes
        self._max_waiting = max_waiting
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._queue: queue.SimpleQueue[list[_Waiter] | None] = queue.SimpleQueue()
        self._pending: deque[_Waiter] = deque()  # not yet handed to the thread
        self._waiting = 0
        self._is_committing = False
        self._closing = False
        self._broken: JournalBroken | None = None
        self._refused = False
        self._writer: SegmentWriter | None = None
        try:
            self._writer = SegmentWriter(directory)
        except JournalUnavailable:
            self._refused = True  # the first group tries again
        self._full_at: float | None = None  # when the segment is too old; None while it is empty
        # A daemon, so that a worker which never closes can still exit: what it loses then was
        # never acknowledged.
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Entries handed over and not yet answered."""
        return self._waiting

    async def is_taking(self) -> bool:
        """Say whether the disk takes records.

        Where the last group was refused, one without entries finds out: callers may have gone
        elsewhere because of the refusals.
        """
        if not self._refused:
            return True
        tried: asyncio.Future[bool] = self._loop.create_future()

        def tell(error: Exception | None) -> None:
            if not tried.done():
                tried.set_result(error is None)

        self._offer(_Waiter(None, 0, tell))
        return await tried

    def append(self, entry: Entry, done: Done) -> None:
        """Call `done` on the loop, once: with None when the entry is on disk, and not before.

        It is called with JournalUnavailable where the disk refuses or too many entries wait: the
        entry is not in the journal then; with JournalBroken after a failed sync. Raises ValueError
        for an entry over `ENTRY_BYTES`.
        """
        size = _size(entry)
        if size > ENTRY_BYTES:
            raise ValueError(f"an entry of {size} bytes is larger than {ENTRY_BYTES}")
        self._offer(_Waiter(entry, size, done))

    async def close(self) -> None:
        """Commit what waits, then seal the segment. A second call waits for the first."""
        if not self._closing:
            self._closing = True
            if not self._pending:
                self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                self._tell(self._answer, group, self._commit(group))
                group = None  # or the last one, and all of its requests, stay as long as it waits
        except BaseException as error:
            self._break(JournalBroken("its thread ended"), error)
            raise
        finally:
            try:
                if self._writer is not None:
                    self._writer.close()
            finally:
                self._tell(self._end)

    def _next_group(self) -> list[_Waiter] | None:
        """Wait for a group, and leave a segment that grows too old meanwhile."""
        while self._full_at is not None and self._broken is None:
            try:
                return self._queue.get(timeout=max(0.0, self._full_at - time.perf_counter()))
            except queue.Empty:
                self._leave_segment()
        return self._queue.get()

    def _leave_segment(self) -> None:
        try:
            self._begin_segment(self._writer)
        except JournalBroken as error:
            self._break(error)

    def _offer(self, waiter: _Waiter) -> None:
        if self._closing:
            waiter.done(JournalUnavailable("it is closed"))
        elif self._waiting >= self._max_waiting:
            waiter.done(JournalUnavailable(f"{self._waiting} records wait for the disk"))
        else:
            self._take(waiter)

    def _take(self, waiter: _Waiter) -> None:
        self._waiting += 1
        self._pending.append(waiter)
        if not self._is_committing:
            self._is_committing = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give the thread the entries that wait, as many as a group takes, or let it rest."""
        if self._pending:
            group: list[_Waiter] = []
            size = 0
            while self._pending and size < self._group_bytes:
                group.append(self._pending.popleft())
                size += group[-1].size
            self._queue.put(group)
            if self._closing and not self._pending:
                self._queue.put(None)
        else:
            self._is_committing = False

    def _commit(self, group: list[_Waiter]) -> JournalUnavailable | JournalBroken | None:
        if self._broken is None:
            try:
                writer = self._segment()
                started = time.perf_counter()
                writer.append([waiter.entry for waiter in group if waiter.entry is not None])
                self._refused = False
                self._on_commit(len(group), time.perf_counter() - started)
                if self._full_at is None:
                    self._full_at = started + self._segment_age_s
            except JournalUnavailable as error:
                self._refused = True
                return error
            except JournalBroken as error:
                self._break(error)
            except Exception as error:  # noqa: BLE001 - unforeseen, so what is on disk is unknown
                self._break(JournalBroken(f"a commit met {type(error).__name__}"), error)
        return self._broken

    def _segment(self) -> SegmentWriter:
        """Return the segment for the next group: a new one where there is none, or it is full."""
        writer = self._writer
        if writer is None or self._is_full(writer):
            writer = self._begin_segment(writer)
        return writer

    def _is_full(self, writer: SegmentWriter) -> bool:
        is_old = self._full_at is not None and time.perf_counter() >= self._full_at
        return is_old or writer.size >= self._segment_bytes

    def _begin_segment(self, full: SegmentWriter | None) -> SegmentWriter:
        try:
            self._writer = SegmentWriter(self._directory)
        except JournalUnavailable:
            if full is None:
                raise
            # The old segment goes on for as long again; if the disk is full, its append refuses.
            self._full_at = time.perf_counter() + self._segment_age_s
            return full
        self._full_at = None
        if full is not None:
            full.close()
        return self._writer

    def _break(self, error: JournalBroken, cause: BaseException | None = None) -> None:
        error.__cause__ = cause or error.__cause__
        self._broken = error
        self._refused = True
        self._tell(self._on_broken, error)

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # of a closed loop, where nobody is left to tell
            self._loop.call_soon_threadsafe(callback, *args)

    def _answer(
        self, group: list[_Waiter], error: JournalUnavailable | JournalBroken | None
    ) -> None:
        # First the next group, so that the disk works while answers are written.
        self._waiting -= len(group)
        self._hand_over()
        for waiter in group:
            waiter.done(error)

    def _end(self) -> None:
        self._ended.set_result(None)


def _size(entry: Entry) -> int:
    payload = entry.payload
    if payload is None:
        return len(entry.leaf)
    return len(entry.leaf) + len(payload.input or b"") + len(payload.output or b"")
