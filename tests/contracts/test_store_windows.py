"""What every store promises of windows, detectors and findings."""

from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest

from registry.findings import Finding, FindingState
from registry.records import Kind, Lane, Outcome
from registry.store import Store, Transaction
from registry.times import to_us
from registry.windows import DetectorState, LaneCounts, Span, Window, WorkerCounts
from tests.contracts.place import Place
from tests.contracts.stored import make_record, make_version

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANIFEST = make_version().manifest
DAY = timedelta(days=1)


def packed(*cells: int) -> bytes:
    return array("q", cells).tobytes()


def cells(counts: bytes) -> list[int]:
    return list(array("q", counts))


def counted(*numbers: int, worker: str = "w", second: float = 0, **fields: Any) -> WorkerCounts:
    """What a worker has counted of version 1 of `m`."""
    defaults = {"model": "m", "version": 1, "lane": Lane.CHAMPION, "manifest": MANIFEST}
    at = NOON + timedelta(seconds=second)
    lane = LaneCounts(**(defaults | fields), counts=packed(*numbers))
    return WorkerCounts(id=worker, at_us=to_us(at), lanes=(lane,))


def windows(
    store: Store, span: Span = Span.MINUTE, version: int = 1, lane: str = Lane.CHAMPION
) -> list[tuple[datetime, list[int]]]:
    since, until = NOON - 10_000 * DAY, NOON + 10_000 * DAY
    found = store.windows("m", version, lane, span, since=since, until=until)
    return [(one.start, cells(one.counts)) for one in found]


def blocks(store: Store, version: int = 1) -> list[list[int]]:
    return [cells(block.counts) for block in store.blocks("m", version)]


@pytest.fixture
def watched(store: Store) -> Store:
    """A store with versions 1 and 2 of `m`."""
    with store.write() as tx:
        tx.add_version(make_version(1))
        tx.add_version(make_version(2))
        tx.append(make_record(kind=Kind.ADMIN, outcome=Outcome.DONE))
    return store


def test_what_was_taken_is_not_taken_again(watched: Store) -> None:
    watched.take([counted(3, 1, 2)])
    watched.take([counted(3, 1, 2)])
    watched.take([counted(5, 2, 3)])

    for span in Span:
        assert [found for _, found in windows(watched, span)] == [[5, 2, 3]]


def test_the_counts_of_all_workers_are_added_up(watched: Store) -> None:
    watched.take([counted(3, 1), counted(10, 5, worker="v")])
    watched.take([counted(4, 2), counted(10, 5, worker="v")])

    assert windows(watched) == [(NOON, [14, 7])]


def test_lanes_and_versions_have_windows_of_their_own(watched: Store) -> None:
    pinned = counted(1, lane=Lane.PINNED)
    second = counted(2, version=2, worker="v")
    watched.take([pinned, second])

    assert windows(watched, lane=Lane.PINNED) == [(NOON, [1])]
    assert windows(watched, version=2) == [(NOON, [2])]
    assert windows(watched) == []


def test_a_window_begins_at_a_multiple_of_its_length(watched: Store) -> None:
    seconds = (-1, 0, 59.9, 60, 3600, 86_400 / 2)
    for number, second in enumerate(seconds, 1):
        watched.take([counted(number, second=second)])

    minutes = [(NOON + timedelta(minutes=m), [n]) for m, n in ((-1, 1), (0, 2), (1, 1), (60, 1))]
    assert windows(watched)[:4] == minutes
    hours = [(start.hour, found) for start, found in windows(watched, Span.HOUR)]
    assert hours == [(11, [1]), (12, [3]), (13, [1]), (0, [1])]
    midnight = NOON.replace(hour=0)
    assert windows(watched, Span.DAY) == [(midnight, [5]), (midnight + DAY, [1])]


def test_windows_are_found_from_the_first_moment_to_before_the_last(watched: Store) -> None:
    for minute in range(4):
        watched.take([counted(minute + 1, second=60 * minute)])

    found = watched.windows(
        "m", 1, Lane.CHAMPION, Span.MINUTE,
        since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=3),
    )  # fmt: skip

    assert found == [
        Window(start=NOON + timedelta(minutes=minute), counts=packed(1)) for minute in (1, 2)
    ]


def test_counts_that_are_older_than_what_was_taken_change_nothing(watched: Store) -> None:
    watched.take([counted(5, 2)])
    watched.take([counted(4, 2)])
    watched.take([counted(6, 3)])

    assert windows(watched) == [(NOON, [6, 3])]


@pytest.mark.parametrize("other", [{"manifest": "sha256:other"}, {"version": 9}, {"model": "n"}])
def test_counts_of_another_version_than_the_stored_one_change_nothing(
    watched: Store, other: dict[str, Any]
) -> None:
    watched.take([counted(5, **other)])

    assert windows(watched) == []
    assert watched.taken() == []


def test_a_window_of_another_layout_begins_anew(watched: Store) -> None:
    watched.take([counted(5, 2)])
    watched.take([counted(1, 1, 1, worker="of a newer program")])

    assert windows(watched) == [(NOON, [1, 1, 1])]


def test_a_worker_that_is_forgotten_leaves_its_windows(watched: Store) -> None:
    watched.take([counted(5), counted(1, worker="v")])
    watched.forget_taken("w")

    assert watched.taken() == ["v"]
    assert windows(watched) == [(NOON, [6])]


def test_what_came_of_a_champion_is_a_block_of_each_taking(watched: Store) -> None:
    watched.take([counted(5), counted(1, worker="v")])
    watched.take([counted(7), counted(2, worker="v", lane=Lane.FALLBACK)])
    watched.take([counted(9, lane=Lane.PINNED)])

    assert blocks(watched) == [[6], [4]]
    assert watched.judged() == [("m", 1)]
    with watched.write() as tx:
        tx.drop_blocks("m", 1)
    assert blocks(watched) == []


def triangle(number: int) -> int:
    return number * (number + 1) // 2


def test_blocks_that_are_too_many_are_added_up_in_order(watched: Store) -> None:
    for number in range(1, 301):
        watched.take([counted(triangle(number))])

    so_far = list(accumulate(number for [number] in blocks(watched)))

    assert 64 <= len(so_far) <= 128
    assert so_far[-1] == triangle(300)
    assert set(so_far) <= {triangle(number) for number in range(301)}


def test_windows_go_when_they_were_kept_for_long_enough(watched: Store) -> None:
    midnight = NOON.replace(hour=0)
    watched.take([counted(1, second=(midnight - NOON).total_seconds())])
    for span, days in ((Span.MINUTE, 2), (Span.HOUR, 90), (Span.DAY, 2_557)):
        assert watched.expire_windows(midnight + days * DAY, 10) == 0
        assert windows(watched, span) == [(midnight, [1])]
        assert watched.expire_windows(midnight + days * DAY + timedelta(seconds=1), 10) == 1
        assert windows(watched, span) == []


def test_windows_go_in_pieces(watched: Store) -> None:
    for minute in range(5):
        watched.take([counted(minute + 1, second=60 * minute)])

    gone = [watched.expire_windows(NOON + 3 * DAY, 2) for _ in range(4)]

    assert gone == [2, 2, 1, 0]


STATE = DetectorState(state=b"s", looked=NOON)


def test_a_detector_is_what_was_kept_last(place: Place, watched: Store) -> None:
    later = DetectorState(state=b"t" * 100_000, looked=NOON + DAY)
    with watched.write() as tx:
        tx.keep_detector("m", 1, STATE)
        tx.keep_detector("m", 1, later)
        tx.keep_detector("m", 2, STATE)

    again = place.open()
    assert again.detector("m", 1) == later
    assert again.detector("m", 3) is None
    assert again.judged() == [("m", 1), ("m", 2)]
    with again.write() as tx:
        tx.drop_detector("m", 1)
    assert again.detector("m", 1) is None
    again.close()


def make_finding(number: int = 1, **fields: Any) -> Finding:
    defaults = {
        "id": f"record-{number}", "model": "m", "version": 1, "side": "input", "input": "x",
        "column": None, "statistic": "missing", "expected": 0.01, "observed": 0.2, "since": NOON,
        "at": NOON + timedelta(minutes=number), "rows": 250, "evidence": 1e7, "records": ("r",),
    }  # fmt: skip
    return Finding(**(defaults | fields))


def add(store: Store, change: Callable[[Transaction], None]) -> None:
    with store.write() as tx:
        change(tx)
        tx.append(make_record(kind=Kind.FINDING, outcome=Outcome.DONE))


def test_findings_come_newest_first_and_change(watched: Store) -> None:
    first, second, other = make_finding(1), make_finding(2), make_finding(3, model="n")
    for one in (first, second, other):
        add(watched, lambda tx, one=one: tx.add_finding(one))  # type: ignore[misc]

    assert watched.findings("m") == [second, first]
    assert watched.findings("n") == [other]
    closed = make_finding(2, state=FindingState.CLOSED, by="key", reason="known", ended=NOON)
    add(watched, lambda tx: tx.change_finding(closed))
    assert watched.findings("m") == [closed, first]
    assert watched.findings("m", only_open=True) == [first]
    assert watched.models_with_findings() == ["m", "n"]


@pytest.mark.parametrize(
    "change",
    [lambda tx: tx.add_finding(make_finding()), lambda tx: tx.change_finding(make_finding())],
)
def test_no_finding_changes_without_a_record(
    watched: Store, change: Callable[[Transaction], None]
) -> None:
    with pytest.raises(RuntimeError, match="record"), watched.write() as tx:
        change(tx)

    assert watched.findings("m") == []


def test_nothing_of_this_is_a_change_that_workers_obey(watched: Store) -> None:
    before = watched.generation()
    watched.take([counted(1)])
    with watched.write() as tx:
        tx.keep_detector("m", 1, STATE)
        tx.drop_blocks("m", 1)
    add(watched, lambda tx: tx.add_finding(make_finding()))

    assert watched.generation() == before
