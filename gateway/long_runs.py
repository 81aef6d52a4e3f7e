"""Runs that would hold up the event loop: in threads, the most urgent first, for a bounded wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from heapq import heappop, heappush
from itertools import count

from gateway.batching import Run, run_batch
from gateway.cases import Case
from gateway.errors import QueueTooLong, TooLate

Done = Callable[[Case], None]


class LongRuns:
    """The queue before a few threads.

    A case may have to wait for `longest_wait_s`, or for as long as its own run takes if that is
    longer. One that is predicted to wait longer is refused at once, so that under any load those
    who are admitted keep about the latency of an idle gateway.
    """

    def __init__(self, *, threads: int, longest_wait_s: float) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._threads = self._free = threads
        self._longest_wait_s = longest_wait_s
        self._queue: list[tuple[int, int, float, Case, Done]] = []
        self._order = count()
        self._queued_us = 0.0

    @property
    def wait_s(self) -> float:
        """How long the next case would wait, predicted."""
        return 0.0 if self._free else self._queued_us / self._threads / 1e6

    def start(self, case: Case, done: Done) -> None:
        """Run a case when its turn comes; `done` is called on the loop once it has its outcome."""
        assert case.served is not None
        assert case.request is not None
        predicted_us = case.served.runner.predicted_us(case.request.rows)
        longest_wait_s = max(self._longest_wait_s, predicted_us / 1e6)
        if self.wait_s > longest_wait_s:
            case.fail(QueueTooLong(longest_wait_s))
            done(case)
            return
        heappush(self._queue, (case.urgency, next(self._order), predicted_us, case, done))
        self._queued_us += predicted_us
        self._start_next()

    def close(self) -> None:
        self._executor.shutdown()

    def _start_next(self) -> None:
        while self._free and self._queue:
            _, _, predicted_us, case, done = heappop(self._queue)
            self._queued_us -= predicted_us
            assert case.served is not None
            assert case.request is not None
            if case.is_late:
                case.fail(TooLate())
                done(case)
                continue
            self._free -= 1
            run = asyncio.get_running_loop().run_in_executor(
                self._executor, run_batch, case.served.runner, [case.request], case.tensors
            )
            run.add_done_callback(partial(self._finish, case, done))

    def _finish(self, case: Case, done: Done, runs: asyncio.Future[list[Run | Exception]]) -> None:
        self._free += 1
        case.take(runs.result()[0])
        done(case)
        self._start_next()
