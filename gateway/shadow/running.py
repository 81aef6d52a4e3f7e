"""The thread that runs the challengers, one request after the other, at most a share of a core."""

import os
import threading
import time
from collections.abc import Callable

from gateway.logs import logger
from gateway.shadow.challenger import Challenger
from gateway.shadow.inbox import Inbox
from gateway.shadow.marker import Marker
from gateway.shadow.results import Results
from gateway.shadow.wire import Shadowed

CORE_SHARE = 0.5
# Pauses are made of the time owed; shorter ones are not worth a system call.
_SHORTEST_PAUSE_S = 0.005

NOT_LOADED = "not-loaded"
FAULT_EXIT = 71


class Running:
    """Runs what the inbox has until that is closed."""

    def __init__(
        self,
        inbox: Inbox,
        challengers: Callable[[str], Challenger | None],
        results: Results,
        marker: Marker,
        shed: Callable[[str, str], None],
    ) -> None:
        """`challengers` finds that of a rollout; `shed` is told of requests that have none."""
        self._inbox = inbox
        self._challengers = challengers
        self._results = results
        self._marker = marker
        self._shed = shed
        self._stopped = threading.Event()
        self._owed_s = 0.0
        # A daemon: a run that does not end must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="challenger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Wait for the run under way, once the inbox is closed, but not for long."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _work(self) -> None:
        """Run until there is no more; a fault that nobody foresaw ends the process.

        Without this thread it would take requests and run none, for as long as the rollout lasts.
        The next one learns of the request that ran.
        """
        try:
            self._run_all()
        except BaseException as fault:  # noqa: BLE001 - the process has no other purpose
            logger.critical("challengers_not_run", exc_info=fault)
            os._exit(FAULT_EXIT)

    def _run_all(self) -> None:
        # The rest of the process writes to a disk that others wait for, and must not stand still.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while not self._inbox.is_closed:
            shadowed = self._inbox.take()
            if shadowed is not None:
                started_s = time.thread_time()
                self._run(shadowed)
                self._pause(time.thread_time() - started_s)

    def _run(self, shadowed: Shadowed) -> None:
        challenger = self._challengers(shadowed.rollout)
        if challenger is None:
            self._shed(shadowed.rollout, NOT_LOADED)
            return
        self._marker.set(shadowed)
        finished = challenger.answer(shadowed)
        self._marker.clear()
        self._results.put(finished)

    def _pause(self, used_s: float) -> None:
        """Leave the core to others for as long as the share says."""
        self._owed_s += used_s * (1 - CORE_SHARE) / CORE_SHARE
        if self._owed_s >= _SHORTEST_PAUSE_S:
            self._stopped.wait(self._owed_s)
            self._owed_s = 0.0
