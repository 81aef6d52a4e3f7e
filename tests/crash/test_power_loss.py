"""The power fails at any moment: every acknowledged record is there, and the store is whole.

The real store, journal and integration run once on a recorded disk. Then the disk is rebuilt as
crashes at many points may leave it, and opened by the same code.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from random import Random

import apsw
import pytest

from registry.audit import segment_writer
from registry.audit.segment import SUFFIX
from registry.stores import sqlite
from tests.builders import Count
from tests.crash.checker import Verdict, memory_folder, open_and_check
from tests.crash.disk import Acknowledged, Create, Disk, Fate, Operation, Published, Sync
from tests.crash.program import Program
from tests.crash.recorder import recording

TURNS = 60
AT_ONCE = 2
CONTROL_POINTS = 400
ZEROS_AHEAD = 4096  # in place of a mebibyte, so that a program meets their end


@pytest.fixture
def memory() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


def test_no_acknowledged_record_is_lost_at_2000_crash_points(memory: Path, count: Count) -> None:
    lose_power(memory, count, tapes=2, points=1000)


@pytest.mark.torture
def test_no_acknowledged_record_is_lost_at_20000_crash_points(memory: Path, count: Count) -> None:
    lose_power(memory, count, tapes=10, points=2000)


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_a_store_that_syncs_less_loses_acknowledged_records(
    memory: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    connect = sqlite.connect

    def connect_and_sync_less(path: Path) -> apsw.Connection:
        connection = connect(path)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    monkeypatch.setattr(sqlite, "connect", connect_and_sync_less)
    tape = record(memory / "live", Random(1))
    monkeypatch.undo()
    assert is_lost(memory, tape)


@pytest.mark.parametrize("with_length", [None, False], ids=["without syncs", "without lengths"])
def test_a_journal_that_syncs_less_loses_acknowledged_records(
    memory: Path, with_length: bool | None
) -> None:
    tape = record(memory / "live", Random(1))
    segments = {
        operation.file
        for operation in tape
        if isinstance(operation, Create) and operation.path.suffix == SUFFIX
    }
    weakened: list[Operation] = []
    for operation in tape:
        if not (isinstance(operation, Sync) and operation.file in segments):
            weakened.append(operation)
        elif with_length is not None:
            weakened.append(Sync(operation.file, with_length))
    assert is_lost(memory, weakened)


def is_lost(memory: Path, tape: list[Operation]) -> bool:
    """Say whether an acknowledged record is lost at any of 400 crash points."""
    verdicts = crash(memory, tape, points=CONTROL_POINTS, chance=Random(1))
    return any(verdict.lost for verdict in verdicts)


def lose_power(memory: Path, count: Count, *, tapes: int, points: int) -> None:
    """Let the power fail on tapes that differ, each in a process of its own."""
    folders = [memory / str(seed) for seed in range(tapes)]
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn")) as pool:
        tried = list(pool.map(lose_power_of, folders, range(tapes), [points] * tapes))
    assert [fault for _, faults in tried for fault in faults] == []
    operations = sum(length for length, _ in tried)
    count(f"{tapes * points} power failures in {operations} operations: 0 records lost, 0 torn")


def lose_power_of(memory: Path, seed: int, points: int) -> tuple[int, list[str]]:
    """Return the length of one tape, and what is wrong after the first failure that harmed."""
    memory.mkdir()
    tape = record(memory / "live", Random(seed))
    for number, verdict in enumerate(crash(memory, tape, points=points, chance=Random(seed))):
        if not verdict.is_clean:
            return len(tape), [f"tape {seed}, crash {number}: {verdict}"]
    return len(tape), []


def record(folder: Path, chance: Random) -> list[Operation]:
    """Run the program once, and return the tape of its disk."""
    with recording(folder) as recorder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_writer, "PREPARED", ZEROS_AHEAD)
        program = Program(folder, recorder, chance)
        program.take_turns(TURNS)
        program.finish()
    shutil.rmtree(folder)
    return recorder.tape


def crash(memory: Path, tape: list[Operation], *, points: int, chance: Random) -> Iterator[Verdict]:
    """Play the tape, let the power fail at as many moments, and judge what each leaves."""
    disk = Disk()
    acknowledged: dict[str, None] = {}
    published: list[str] = []
    moments = sorted(chance.choices(range(len(tape) + 1), k=points))
    for start, end in pairwise([0, *moments]):
        for operation in tape[start:end]:
            disk.perform(operation)
            if isinstance(operation, Acknowledged):
                acknowledged[operation.record] = None
            elif isinstance(operation, Published):
                published.append(operation.note)
        folder = memory / "crashed"
        files = disk.after_crash(chance.choice(list(Fate)), chance)
        for path, content in files.items():
            place = folder / path.relative_to(memory / "live")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        (folder / "journal").mkdir(parents=True, exist_ok=True)
        yield open_and_check(folder, acknowledged, published)
        shutil.rmtree(folder)
