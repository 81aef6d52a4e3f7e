"""Runs wrk with the script beside this file, and reads what it measured."""

import shutil
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtests.errors import LoadTestError

CONNECTIONS = 32
LOOK_EVERY = 16
SCRIPT = Path(__file__).with_name("wrk.lua")
_RESULT = "RESULT "


class WrkResult(Struct, frozen=True, kw_only=True):
    """One run: answers and how they were; latencies as the client saw them, in microseconds.

    `refused` are answers that were not 200, `looked` those whose body was looked at, `wrong` those
    among them that held another answer, `broken` connections that failed or timed out.
    """

    answers: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    looked: int
    wrong: int
    broken: int

    @property
    def per_second(self) -> float:
        return self.answers / self.duration_us * 1e6

    def check(self) -> None:
        """Raise LoadTestError unless every answer was right as far as it was looked at."""
        if self.refused or self.wrong or self.broken or not self.looked:
            raise LoadTestError(
                f"Of {self.answers} answers {self.refused} were no 200; of {self.looked} bodies "
                f"{self.wrong} were wrong; {self.broken} connections broke."
            )


class Shot(Struct, frozen=True, kw_only=True):
    """The request that a run repeats, and the piece of the body that every right answer holds."""

    path: str
    key: str
    input: str
    data: str
    expected: str


def find_wrk() -> str:
    """Return where wrk is. Raises LoadTestError where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadTestError("wrk is not installed; on Debian: apt-get install wrk")
    return found


def command(wrk: str, url: str, shot: Shot, *, seconds: float, core: int) -> list[str]:
    """Write the command line of one run, held to one core."""
    return [
        "taskset", "-c", str(core),
        wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(SCRIPT),
        url, "--",
        shot.path, shot.key, shot.input, shot.data, shot.expected, str(LOOK_EVERY),
    ]  # fmt: skip


def parse(output: str) -> WrkResult:
    """Find the result in what wrk wrote. Raises LoadTestError where there is none."""
    for line in output.splitlines():
        if line.startswith(_RESULT):
            return msgspec.json.decode(line.removeprefix(_RESULT), type=WrkResult)
    raise LoadTestError(f"wrk ended without a result: {output.strip() or 'no output'}")


def run(wrk: str, url: str, shot: Shot, *, seconds: float, core: int) -> WrkResult:
    """Send the request as fast as it is answered. Raises LoadTestError for any wrong answer."""
    ended = subprocess.run(
        command(wrk, url, shot, seconds=seconds, core=core),
        capture_output=True,
        text=True,
        check=False,
    )
    result = parse(ended.stdout + ended.stderr)
    result.check()
    return result
