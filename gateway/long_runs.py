"""Runs that would hold up the event loop: in threads, the most urgent first, for a bounded wait."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from msgspec import Struct

from gateway.batching import Run, run_one
from gateway.cases import Case
from gateway.errors import QueueTooLong, TooLate

Done = Callable[[Case], None]

_SMOOTHING = 16
# The event loop goes first: refusals and short runs must not queue behind long ones.
_NICENESS = 5


class _Waiting(Struct, order=True, frozen=True):
    """A case in the queue: the most urgent goes first, and of those the one that came first."""

    urgency: int
    number: int
    case: Case
    done: Done
    predicted_us: float
    longest_wait_s: float
    queued_s: float


class LongRuns:
    """The queue before a few threads.

    A case may have to wait for `longest_wait_s`, or for as long as its own run takes if that is
    longer. One that is predicted to wait longer is refused at once, and one that did wait for twice
    as long is refused instead of run, so that under any load those who are admitted keep about the
    latency of an idle gateway.

    The threads take from the queue themselves, so that a loop busy with refusals does not keep them
    waiting. How long a run takes is predicted from its processor time, and from how much longer
    than that the last ones took beside everything else that the process does.
    """

    def __init__(self, *, threads: int, longest_wait_s: float) -> None:
        self._longest_wait_s = longest_wait_s
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._queue: list[_Waiting] = []
        self._number = count()
        self._free = threads
        self._queued_us = 0.0
        self._stretch = 1.0
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"run-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_behind(self) -> bool:
        """Whether more cases wait than threads are free."""
        return len(self._queue) > self._free

    @property
    def wait_s(self) -> float:
        """How long the next case would wait, predicted."""
        if not self.is_behind:
            return 0.0
        waiting = len(self._queue)
        behind_us = self._queued_us * (waiting - self._free) / waiting
        return behind_us * self._stretch / len(self._threads) / 1e6

    def longest_wait_s(self, predicted_us: float) -> float:
        """How long a case may be made to wait, if its run takes so long."""
        return max(self._longest_wait_s, predicted_us / 1e6)

    def start(self, case: Case, done: Done) -> None:
        """Run a case when its turn comes; `done` is called on the loop once it has its outcome.

        One that would wait too long has its outcome when this returns, and `done` is not called.
        """
        assert case.served is not None
        assert case.request is not None
        predicted_us = case.served.runner.predicted_us(case.request.rows)
        longest_wait_s = self.longest_wait_s(predicted_us)
        if self.wait_s > longest_wait_s:
            case.fail(QueueTooLong(longest_wait_s))
            return
        waiting = _Waiting(
            case.urgency,
            next(self._number),
            case,
            done,
            predicted_us,
            longest_wait_s,
            time.monotonic(),
        )
        with self._changed:
            heappush(self._queue, waiting)
            self._queued_us += predicted_us
            self._changed.notify()

    def close(self) -> None:
        """Finish what was started, then end the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.nice(0) + _NICENESS)
        while waiting := self._next():
            started_s = time.monotonic()
            outcome = _run(waiting, started_s - waiting.queued_s)
            self._loop.call_soon_threadsafe(_finish, waiting, outcome)
            self._learn(waiting.predicted_us, outcome, time.monotonic() - started_s)

    def _next(self) -> _Waiting | None:
        """Wait for the most urgent case; None once there will be no more."""
        with self._changed:
            while not self._queue:
                if self._is_closed:
                    return None
                self._changed.wait()
            self._free -= 1
            waiting = heappop(self._queue)
            self._queued_us -= waiting.predicted_us
            return waiting

    def _learn(self, predicted_us: float, outcome: Run | Exception, took_s: float) -> None:
        with self._changed:
            self._free += 1
            if isinstance(outcome, Run):
                stretch = max(1.0, took_s * 1e6 / max(predicted_us, 1.0))
                self._stretch += (stretch - self._stretch) / _SMOOTHING


def _run(waiting: _Waiting, waited_s: float) -> Run | Exception:
    case = waiting.case
    assert case.served is not None
    assert case.request is not None
    if case.is_late:
        return TooLate()
    if waited_s > 2 * waiting.longest_wait_s:
        return QueueTooLong(waiting.longest_wait_s)
    return run_one(case.served.runner, case.runnable)


def _finish(waiting: _Waiting, outcome: Run | Exception) -> None:
    waiting.case.take(outcome)
    waiting.done(waiting.case)
