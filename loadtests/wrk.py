"""Runs wrk with the script beside this file, and reads what it measured."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtests.errors import LoadTestError
from loadtests.machine import pin
from loadtests.shot import Shot

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
        if not self.answers:
            raise LoadTestError(f"No answer came within {self.duration_us / 1e6:.0f} s.")
        if self.refused or self.wrong or self.broken or not self.looked:
            raise LoadTestError(
                f"Of {self.answers} answers {self.refused} were no 200; of {self.looked} bodies "
                f"{self.wrong} were wrong; {self.broken} connections broke."
            )


def find_wrk() -> str:
    """Return where wrk is. Raises LoadTestError where it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadTestError("wrk is not installed; on Debian: apt-get install wrk")
    return found


class Blow(Struct, frozen=True, kw_only=True):
    """How hard and how long a run loads a server, and the cores that hold wrk, if any do."""

    connections: int
    seconds: int
    cores: Sequence[int] = ()


def command(wrk: str, url: str, shot: Shot, blow: Blow, folder: Path) -> list[str]:
    """Write the command line of one run, and what it reads into a folder."""
    words: list[str] = []
    for name, content in (
        ("head", shot.question.head),
        ("tail", shot.question.tail),
        ("piece", shot.piece),
    ):
        (folder / name).write_bytes(content)
        words.append(str(folder / name))
    return [
        *pin(blow.cores),
        wrk, "-t1", f"-c{blow.connections}", f"-d{blow.seconds}s", "--timeout", "10s",
        "-s", str(SCRIPT), url, "--", *words, str(LOOK_EVERY),
    ]  # fmt: skip


def parse(output: str) -> WrkResult:
    """Find the result in what wrk wrote. Raises LoadTestError where there is none."""
    for line in output.splitlines():
        if line.startswith(_RESULT):
            return msgspec.json.decode(line.removeprefix(_RESULT), type=WrkResult)
    raise LoadTestError(f"wrk ended without a result: {output.strip() or 'no output'}")


def run(wrk: str, url: str, shot: Shot, blow: Blow) -> WrkResult:
    """Send the request as fast as it is answered. Raises LoadTestError for any wrong answer."""
    with tempfile.TemporaryDirectory(prefix="wrk-") as folder:
        ended = subprocess.run(
            command(wrk, url, shot, blow, Path(folder)),
            capture_output=True,
            text=True,
            check=False,
        )
    result = parse(ended.stdout + ended.stderr)
    result.check()
    return result
