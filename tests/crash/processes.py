"""The processes of a running gateway, found and watched from outside."""

import os
import select
import time
from collections.abc import Iterable
from pathlib import Path

from tests.builders import Gateway


def children(gateway: Gateway, module: str) -> list[int]:
    """Return the ids of the supervisor's children that run a module, oldest first."""
    pid = gateway.process.pid
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if module.encode() in _command(child)]


def wait_for_end(pids: Iterable[int], timeout_s: float) -> None:
    """Return when all these processes have ended, whoever their parent is now; fail if late."""
    deadline = time.monotonic() + timeout_s
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            left = max(0.0, deadline - time.monotonic())
            ended, _, _ = select.select([descriptor], [], [], left)
            assert ended, f"process {pid} still runs after {timeout_s} s"
        finally:
            os.close(descriptor)


def _command(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
