"""The machine's clock goes back a day, or on: the log keeps its order, and nothing is lost."""

import time
from pathlib import Path
from random import Random

import pytest

from registry.audit.log import integrate
from registry.audit.query import AuditTrail
from registry.audit.segment_writer import SegmentWriter
from registry.records import RecordFilter
from registry.registry import Registry
from tests.crash.checker import open_and_check
from tests.crash.program import Program, make_entry

DAY_NS = 24 * 3600 * 10**9
MOVES = [0, -1, 1, -2, 0]  # days
TURNS = 60


class Clock:
    """A clock of nanoseconds that can be moved; it stands in for the machine's."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.moved_ns = 0
        self._read = time.time_ns
        patch.setattr(time, "time_ns", lambda: self._read() + self.moved_ns)


class Kept:
    """Promises as they were given."""

    def __init__(self) -> None:
        self.records: dict[str, None] = {}
        self.notes: list[str] = []

    def acknowledge(self, record: str) -> None:
        self.records[record] = None

    def publish(self, note: str) -> None:
        self.notes.append(note)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_program_whose_clock_moves_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    kept, chance = Kept(), Random(1)
    program = Program(tmp_path, kept, chance)
    for days in MOVES:
        clock.moved_ns = days * DAY_NS
        program.take_turns(TURNS // len(MOVES))
    program.finish()

    verdict = open_and_check(tmp_path, kept.records, kept.notes)
    assert verdict.is_clean, verdict
    assert list(kept.records) != sorted(kept.records)


def test_the_log_keeps_the_order_in_which_records_came_to_it(
    tmp_path: Path, registry: Registry, clock: Clock
) -> None:
    trail = AuditTrail(registry.store, make_journal(tmp_path))
    written = []
    for days in MOVES:
        clock.moved_ns = days * DAY_NS
        written += write(tmp_path / "journal", 3)
        integrate(registry.store, tmp_path / "journal")

    assert [trail.record(one).index for one in written] == list(range(len(written)))
    assert written != sorted(written)


def test_pages_meet_each_record_once_that_was_there_at_the_first(
    tmp_path: Path, registry: Registry, clock: Clock
) -> None:
    trail = AuditTrail(registry.store, make_journal(tmp_path))
    there = write(tmp_path / "journal", 5)
    integrate(registry.store, tmp_path / "journal")
    there += write(tmp_path / "journal", 5)

    page = trail.find(RecordFilter(), limit=4)
    met = [found.record.id for found in page.records]
    clock.moved_ns = -DAY_NS
    late = write(tmp_path / "journal", 2)
    while page.cursor is not None:
        page = trail.find(RecordFilter(), limit=4, cursor=page.cursor)
        met += [found.record.id for found in page.records]

    assert sorted(met) == sorted(there + late)


def make_journal(data_dir: Path) -> Path:
    journal = data_dir / "journal"
    journal.mkdir()
    return journal


def write(journal: Path, count: int) -> list[str]:
    """Write records into a segment of their own, one by one, and return their ids in order."""
    chance, writer = Random(count), SegmentWriter(journal)
    written = []
    for _ in range(count):
        record_id, entry = make_entry(chance)
        writer.append([entry])
        written.append(record_id)
    writer.close()
    return written
