"""Work on a model in a child process that has little: bytes in, bytes out, and limits.

Whatever a model does there, the process that asked goes on; where that ends, the child does too.
"""

import os
import resource
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import StoreUnavailable

_PROJECT = Path(__file__).parents[1]
_MEMORY_BYTES = 8 << 30
_PROCESSOR_S = 30
_OPEN_FILES = 64
_LEFT_ALONE_EXIT = 1


class TookTooLong(Exception):
    """The child was ended, since its time was over."""


class Died(Exception):
    """The child ended by itself and brought nothing: a limit, or what the model did to it."""


def run_apart(module: str, given: bytes, timeout_s: float) -> bytes:
    """Run a module with `given` as its standard input and return what it wrote.

    The module calls `end_with_parent` first, and `limit_self` if it runs a model. Raises
    TookTooLong, Died, and StoreUnavailable where the system starts no process.
    """
    # An empty working folder: a file that names others by relative path finds none.
    with tempfile.TemporaryDirectory() as folder, _lifeline() as lifeline:
        try:
            child = subprocess.run(
                [sys.executable, "-m", module, str(lifeline)],
                pass_fds=[lifeline],
                input=given,
                capture_output=True,
                cwd=folder,
                env={"PYTHONPATH": str(_PROJECT), "ORT_DISABLE_TELEMETRY": "1", "HOME": folder},
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TookTooLong from None
        except OSError as error:
            raise StoreUnavailable("no process could be started for it") from error
    if child.returncode != 0:
        raise Died
    return child.stdout


def end_with_parent() -> None:
    """Let this process end when the one that ran it apart does, whatever it is at then."""
    lifeline = int(sys.argv[1])
    threading.Thread(target=_end_when_closed, args=(lifeline,), daemon=True).start()


def limit_self() -> None:
    """Limit this process: memory, processor time, open files, and no file may grow."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_S, _PROCESSOR_S))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def _lifeline() -> Iterator[int]:
    """Open a pipe whose other end is held here alone: it closes, however this process ends."""
    lifeline, own_end = os.pipe()
    try:
        yield lifeline
    finally:
        os.close(lifeline)
        os.close(own_end)


def _end_when_closed(lifeline: int) -> None:
    select.select([lifeline], [], [])  # nothing is ever written to it
    os._exit(_LEFT_ALONE_EXIT)
