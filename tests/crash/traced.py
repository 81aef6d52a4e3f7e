"""System calls of running processes, counted, watched and made to fail, by strace."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# Whatever changes a file or makes a change durable. Opening and reading are not among them.
CHANGES = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "link", "rename")
FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")


def injection(call: str, fault: str, nth: int) -> list[str]:
    """Name strace's options that let the n-th of a system call meet a fault."""
    return ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={nth}"]


def run_traced(options: Sequence[str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module under strace. Skips the test where that is not possible."""
    return subprocess.run(
        [_strace(), "-f", "-o", os.devnull, *options, sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def count_changes(log: Path, *command: str) -> Counter[str]:
    """Run a Python module, and count its changes to files."""
    run_traced(["-o", str(log), "-e", f"trace={','.join(CHANGES)}"], *command)
    lines = log.read_text().splitlines()
    return Counter(call for line in lines for call in CHANGES if f" {call}(" in line)


@contextmanager
def tracing(pid: int, *options: str, log: Path = Path(os.devnull)) -> Iterator[None]:
    """Trace a running process and its threads. Skips the test where that is not possible."""
    tracer = subprocess.Popen(
        [_strace(), "-f", "-p", str(pid), "-o", str(log), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    with tracer.stderr as lines:
        said = lines.readline()
        if "attached" not in said:
            tracer.wait()
            pytest.skip(f"strace may not attach here: {said.strip()}")
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait()


def _strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([found, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here")
    return found
