"""The supervisor: starts workers and the controller, and starts them anew, until told to stop.

It lives as long as the gateway and has little to do, so it holds little: `gateway serve` becomes
this program once the port and the log are open, which reads no store, signs nothing and runs no
event loop.
"""

import importlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence

from gateway.children import Child
from gateway.settings import Settings, read_settings, write_settings

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


class Supervisor:
    """Keeps one controller and N workers running until told to stop.

    The listener stays open here, so that connections made while a worker starts anew wait for it,
    and is closed first of all at the end, so that nobody waits for an answer that will not come.
    """

    def __init__(self, settings: Settings, listener: int, worker: str) -> None:
        self._drain_s = settings.drain_s
        self._listener = listener
        # Children end when the other end of this pipe closes, as it does if this process dies.
        pipe, self._own_end = os.pipe()
        text = write_settings(settings)
        self._controllers = [_child("controller", "gateway.controller", text, [pipe])]
        self._workers = [
            _child(f"worker {slot}", worker, text, [listener, pipe], str(slot), runs_models=True)
            for slot in range(settings.workers)
        ]

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; workers finish their answers before the controller ends."""
        signals = _hear_signals()
        wait_s = 0.0
        while STOP_SIGNALS.isdisjoint(_heard(signals, wait_s)):
            wait_s = min(child.tend() for child in (*self._controllers, *self._workers))
        os.close(self._listener)
        self._end(self._workers)
        self._end(self._controllers)

    def _end(self, children: Sequence[Child]) -> None:
        for child in children:
            child.terminate()
        # Uvicorn closes what is idle at once and waits for answers under way up to the drain time.
        deadline = time.monotonic() + self._drain_s + 5
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))


def become_supervisor(settings: Settings, worker: str, *, listener: int, lock: int) -> None:
    """Run as the supervisor from now on, with the port and the lock of the data directory.

    `worker` is the module that workers run. STOP_SIGNALS have to be blocked: they are heard after
    that. Nobody closes the lock and no child inherits it, so it is held until the supervisor ends.
    """
    for descriptor in (listener, lock):
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - takes no keyword
    command = [sys.executable, "-m", "gateway.supervisor", write_settings(settings)]
    os.execv(sys.executable, [*command, worker, str(listener)])  # noqa: S606 - no shell is wanted


def _child(
    name: str,
    module: str,
    settings: str,
    descriptors: list[int],
    *rest: str,
    runs_models: bool = False,
) -> Child:
    command = [sys.executable, "-m", module, settings, *map(str, descriptors), *rest]
    return Child(name, command, descriptors, _tell, runs_models=runs_models)


def _tell(event: str, **facts: object) -> None:
    """Log an error. What logs is as large as all the rest here, and imported when it is needed."""
    logs = importlib.import_module("gateway.logs")
    logs.configure_logs("supervisor")
    logs.logger.error(event, **facts)


def _hear_signals() -> int:
    """Have the numbers of signals written to a pipe; return the end to read."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    return read_end


def _heard(signals: int, timeout_s: float) -> bytes:
    """Return the numbers of the signals that came, of none after so many seconds."""
    readable, _, _ = select.select([signals], [], [], timeout_s)
    return os.read(signals, select.PIPE_BUF) if readable else b""


def main() -> None:
    """Run the supervisor from its command line, as `become_supervisor` writes it."""
    settings, worker, listener = sys.argv[1:]
    Supervisor(read_settings(settings), int(listener), worker).run()


if __name__ == "__main__":
    main()
