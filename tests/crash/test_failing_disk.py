"""Each system call that changes a file fails once, or is the last: nothing that was told is untrue.

The program of `tests.crash.program` runs to its end once for each call and fault. What it printed
was acknowledged, and must be in the store.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders import Count
from tests.crash.checker import memory_folder, open_and_check
from tests.crash.program import REFUSED_EXIT
from tests.crash.traced import FAULTS, count_changes, injection, run_traced

PROGRAM = "tests.crash.program"
SEED, TURNS = "1", "30"
FEW = 40
AT_ONCE = 2  # programs under strace, which mostly wait for each other

Point = tuple[str, str, int]  # system call, fault, and which of them


@pytest.fixture
def memory() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def test_no_call_that_fails_loses_what_was_acknowledged_at_40_points(
    memory: Path, count: Count
) -> None:
    points = find_points(memory)
    fail_at(memory, count, points[:: len(points) // FEW])


@pytest.mark.torture
def test_no_call_that_fails_loses_what_was_acknowledged(memory: Path, count: Count) -> None:
    fail_at(memory, count, find_points(memory))


def find_points(memory: Path) -> list[Point]:
    counts = count_changes(memory / "log", PROGRAM, str(memory / "clean"), SEED, TURNS)
    assert counts["pwrite64"] > 100
    assert counts["fdatasync"] > 20
    return [
        (call, fault, nth)
        for call, count in sorted(counts.items())
        for nth in range(1, count + 1)
        for fault in FAULTS
    ]


def fail_at(memory: Path, count: Count, points: list[Point]) -> None:
    folders = [memory / str(number) for number in range(len(points))]
    acknowledged = unanswered = refused = killed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = pool.map(run_with_fault, points, folders)
        for point, data_dir, ended in zip(points, folders, runs, strict=True):
            # strace ends as its program did, by the same signal.
            assert ended.returncode in {0, REFUSED_EXIT, -signal.SIGKILL}, (point, ended.stderr)
            lines = [json.loads(line) for line in ended.stdout.splitlines()]
            told: dict[str, str | None] = {one: None for one in lines if isinstance(one, str)}
            published = [one[0] for one in lines if isinstance(one, list)]
            (data_dir / "journal").mkdir(exist_ok=True)
            verdict = open_and_check(data_dir, told, published)
            assert verdict.is_clean, (point, verdict)
            acknowledged += len(told)
            unanswered += verdict.records - len(told)
            refused += ended.returncode == REFUSED_EXIT
            killed += ended.returncode == -signal.SIGKILL
    assert killed > len(points) // 4, "strace no longer kills where it is told to"
    count(
        f"{len(points)} failing calls: {acknowledged} acknowledged, 0 lost, 0 stores torn, "
        f"{unanswered} stored without an answer, {refused} refused to start"
    )


def run_with_fault(point: Point, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return run_traced(injection(*point), PROGRAM, str(data_dir), SEED, TURNS)
