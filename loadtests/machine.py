"""The machine that numbers come from: what it is, and whether it was quiet meanwhile."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from loadtests.errors import LoadTestError

_TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, object]:
    """Describe what the numbers depend on beside the code."""
    cpus = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def two_cores() -> tuple[int, int]:
    """Choose a core for the server and one for its load. Raises LoadTestError."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise LoadTestError("Two cores are needed, one for the server and one for wrk.")
    return cores[0], cores[1]


def pin(cores: Sequence[int]) -> list[str]:
    """Return the words before a command that hold it to cores; none where it may use all."""
    return ["taskset", "-c", ",".join(map(str, cores))] if cores else []


def busy_s(stat: str, core: int) -> float:
    """Return how long processes have had a core, or a hypervisor kept it, out of /proc/stat.

    Seconds since the machine started (proc(5)); waiting and interrupts are left out.
    """
    for line in stat.splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, _, _, steal = map(int, ticks[:8])
            return (user + nice + system + steal) / _TICKS
    raise LoadTestError(f"The kernel says nothing of core {core}.")
