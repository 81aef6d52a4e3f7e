"""Child processes that are to run: started, started anew whenever they end, and ended."""

import os
import subprocess
import time
from collections.abc import Sequence
from typing import Protocol

_RESTART_S = 0.1
_LONGEST_RESTART_S = 5.0
# A process that lived this long did not fail at its start.
_SETTLED_S = 10.0
_NO_HURRY_S = 3600.0
_LONGEST_END_S = 5.0


# What a process that runs models begins with, where nobody has set it otherwise.
RUNS_MODELS = {
    # Workers count values in small products: threads would fight over cores that answer callers.
    "OPENBLAS_NUM_THREADS": "1",
    # Arrays of a large request would go back to the system after each use, and every page of them
    # be fetched and zeroed again: that takes three times as long as what is done with them.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}


class Tell(Protocol):
    """Takes an event that an operator has to know of, and its facts."""

    def __call__(self, event: str, **facts: object) -> object: ...


class Child:
    """A process that is started anew whenever it ends, later each time it fails at its start.

    `tell` is told when it ends without having been told to, and when it had to be killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        descriptors: Sequence[int],
        tell: Tell,
        *,
        runs_models: bool = False,
    ) -> None:
        self._name = name
        self._command = command
        self._descriptors = descriptors
        self._tell = tell
        self._environment = RUNS_MODELS | dict(os.environ) if runs_models else None
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._told: float | None = None  # when it was told to end
        self._delay_s = _RESTART_S

    def tend(self) -> float:
        """Start the process if it does not run and is due; say in how many seconds to look again.

        The end of a process is told by a signal, so one that runs is nothing to wait for.
        """
        now = time.monotonic()
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return _NO_HURRY_S
            self._note_end(status, now)
        if now < self._due:
            return self._due - now
        self._started = now
        self._process = subprocess.Popen(
            self._command, pass_fds=self._descriptors, env=self._environment
        )
        return _NO_HURRY_S

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """Tell the process to end, if it runs, and start none until it is tended again.

        Returns at once; called again it kills a process that takes long, and takes note of the end.
        """
        if self._process is None or self._process.poll() is not None:
            self._process = self._told = None
        elif self._told is None:
            self._told = time.monotonic()
            self._process.terminate()
        elif time.monotonic() - self._told > _LONGEST_END_S:
            self._process.kill()

    def wait(self, timeout_s: float) -> None:
        """Return when the process has ended; one that takes longer than this is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._tell("process_killed", pid=self._process.pid)
            self._process.kill()
            self._process.wait()

    def _note_end(self, status: int, now: float) -> None:
        self._process = None
        if self._told is not None:  # it was wanted again before it had ended
            self._told = None
            return
        if now - self._started > _SETTLED_S:
            self._delay_s = _RESTART_S
        self._tell("process_ended", name=self._name, status=status, restart_s=self._delay_s)
        self._due = now + self._delay_s
        self._delay_s = min(self._delay_s * 2, _LONGEST_RESTART_S)
