"""The process that runs challengers beside the live answers, for as long as a rollout is in shadow.

The controller starts and ends it. A thread of the least priority runs the challengers; the event
loop takes what workers send, records what was run, and only then counts it: so nothing is counted
that the log does not hold.
"""

import asyncio
import os
import queue
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from gateway.logs import configure_logs, logger
from gateway.observation import Observation
from gateway.runtime import ProcessorWatchdog
from gateway.settings import Settings, read_settings
from gateway.shadow.book import Book
from gateway.shadow.challenger import Finished
from gateway.shadow.challengers import Challengers
from gateway.shadow.inbox import Inbox
from gateway.shadow.marker import Marker
from gateway.shadow.recording import Recorder
from gateway.shadow.results import Results
from gateway.shadow.running import Running
from gateway.shadow.state import ShadowFiles
from gateway.summaries import SummaryFile
from registry.artifacts import Artifacts
from registry.errors import JournalBroken, JournalUnavailable, RegistryError
from registry.records import Lane
from registry.registry import Registry
from registry.rollouts import Rollout
from registry.store import open_store
from registry.windows import LaneCounts

JOURNAL_BROKEN_EXIT = 70
NOT_RECORDED = "not-recorded"  # the disk took no record
_FOLLOW_S = 0.25
_SETTLE_S = 0.5
_LAST_RUN_S = 1.0
_NICENESS = 19
_MEMORY_BYTES = 4 << 30


class ShadowProcess:
    """What the process is made of."""

    def __init__(self, settings: Settings) -> None:
        settings.shadow_dir.mkdir(mode=0o700, exist_ok=True)
        self._store = open_store(settings.data_dir, settings.payload_key)
        self._watchdog = ProcessorWatchdog(settings.run_deadline_s)
        self._challengers = Challengers(
            Registry(self._store, Artifacts(settings.artifacts_dir)),
            self._watchdog,
            settings.payload_limit,
        )
        # From the loop and from the thread; counted on the loop.
        self._sheds: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self._marker = Marker(settings.shadow_dir)
        self._inbox = Inbox(settings.shadow_dir, self._shed)
        self._results = Results()
        self._running = Running(
            self._inbox, self._challengers.find, self._results, self._marker, self._shed
        )
        self._recorder = Recorder(settings.journal_dir, settings.segment_age_s)
        self._files = ShadowFiles(settings.shadow_dir)
        self._books: dict[str, Book] = {}
        self._observation = Observation(
            SummaryFile(settings.summaries_dir), self._challengers.roster, self._evidence
        )
        self._is_refused = False

    async def run(self, stop: asyncio.Event) -> None:
        """Shadow until told to stop. Raises JournalBroken."""
        follow = asyncio.create_task(self._follow())
        while not stop.is_set() and not follow.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _SETTLE_S)
            await self._settle()
        if follow.done():
            follow.result()  # which raises
        follow.cancel()
        await self._close()

    async def _follow(self) -> None:
        """Load what the store says; only then is anything taken from workers."""
        is_first = True
        while True:
            try:
                if await asyncio.to_thread(self._challengers.refresh):
                    for rollout in self._challengers.rollouts.values():
                        self._book(rollout)
                    logger.info("shadow_follows", rollouts=len(self._books))
            except RegistryError as error:
                logger.warning("store_not_followed", error=error.slug, detail=str(error))
            else:
                if is_first:
                    self._begin()
                is_first = False
            await asyncio.sleep(_FOLLOW_S)

    def _begin(self) -> None:
        left = self._marker.left
        challenger = None if left is None else self._challengers.find(left.rollout)
        if left is not None and challenger is not None:
            logger.error("challenger_ended_process", rollout=left.rollout, twin=left.record_id)
            self._results.put(challenger.fail(left))
        self._inbox.listen()
        self._running.start()
        logger.info("shadow_ready")

    def _book(self, rollout: Rollout) -> Book:
        """Return the book of a rollout, which goes on where the last process ended."""
        if rollout.id not in self._books:
            self._books[rollout.id] = Book(rollout, self._files.read(rollout.id))
        return self._books[rollout.id]

    async def _settle(self) -> None:
        """Record what was run, count what was recorded, and write down what was counted."""
        await self._record()
        self._count_sheds()
        await self._observation.write()
        books = list(self._books.values())
        try:
            await asyncio.to_thread(self._write_sums, books)
        except OSError as error:
            logger.warning("shadow_sums_not_written", detail=str(error.strerror))
        else:
            self._close_books(books)

    async def _record(self) -> None:
        finished = self._results.take()
        if finished:
            try:
                await asyncio.to_thread(self._recorder.append, [one.entry for one in finished])
            except JournalUnavailable as error:
                if not self._is_refused:
                    logger.warning("shadow_not_recorded", detail=str(error))
                self._is_refused = True
                for one in finished:
                    self._shed(one.shadowed.rollout, NOT_RECORDED)
            else:
                self._is_refused = False
                for one in finished:
                    self._count(one)
        await asyncio.to_thread(self._recorder.leave_old)

    def _count(self, finished: Finished) -> None:
        challenger = finished.challenger
        self._book(challenger.rollout).add(finished)
        request = finished.case.request
        if finished.is_answered and request is not None:
            values = request.tensors, finished.case.values
            size = finished.shadowed.size
            self._observation.note(
                challenger.served, Lane.SHADOW, *values, rows=request.rows, size=size
            )

    def _shed(self, rollout: str, reason: str) -> None:
        self._sheds.put((rollout, reason))

    def _count_sheds(self) -> None:
        while not self._sheds.empty():
            rollout, reason = self._sheds.get()
            if rollout in self._books:
                self._books[rollout].shed(reason)

    def _evidence(self) -> list[LaneCounts]:
        lanes = (book.evidence() for book in self._books.values())
        return [lane for lane in lanes if lane is not None]

    def _write_sums(self, books: Sequence[Book]) -> None:
        for book in books:
            self._files.write(book.stand(len(self._inbox)))

    def _close_books(self, written: Sequence[Book]) -> None:
        """Let go of rollouts that are over, whose sums are in their files now."""
        for book in written:
            if book.sums.rollout not in self._challengers.open:
                del self._books[book.sums.rollout]

    async def _close(self) -> None:
        self._inbox.close()
        self._results.close()
        await asyncio.to_thread(self._running.stop, _LAST_RUN_S)
        self._marker.clear()  # what still runs is ended, and did not end the process
        await self._settle()
        await self._observation.close()
        self._recorder.close()


async def run_process(settings: Settings, parent: int) -> None:
    """Shadow until SIGTERM, or until the pipe `parent` closes; then end the process.

    Raises JournalBroken.
    """
    process, stop = ShadowProcess(settings), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def stop_with_parent() -> None:
        loop.remove_reader(parent)
        stop.set()

    # Nothing is ever written to this pipe: it becomes readable when its other end closes.
    loop.add_reader(parent, stop_with_parent)
    await process.run(stop)
    # A thread may still load or run a challenger, and nobody waits for that.
    os._exit(0)


def main() -> None:
    """Run from the command line, as the controller writes it."""
    settings = read_settings(sys.argv[1])
    configure_logs("shadow")
    _limit_self()
    try:
        asyncio.run(run_process(settings, int(sys.argv[2])))
    except JournalBroken as error:
        logger.critical("journal_broken", detail=str(error))
        os._exit(JOURNAL_BROKEN_EXIT)


def _limit_self() -> None:
    """Come after all others for the processor, and have so much memory and no more."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    # What a challenger breaks must not end in a file: it would hold what callers sent.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
