"""No query over records reads what it does not return: each is a range of an index, whatever is
asked for together.
"""

import itertools
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import apsw
import pytest

from registry.entry import Entry, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.stores import records

START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "model": "flights",
    "version": 1,
    "lane": "champion",
    "kind": Kind.INFERENCE,
    "principal": "key-1",
    "outcome": Outcome.ANSWERED,
    "request_id": "again",
    "since": START + timedelta(milliseconds=100, microseconds=5),
    "until": START + timedelta(milliseconds=900, microseconds=5),
}
COMBINATIONS = [
    names for size in range(len(VALUES) + 1) for names in itertools.combinations(VALUES, size)
]
RANGE = re.compile(r"SEARCH record USING (COVERING )?INDEX \w+ \(.*(id|stream|request_id)[<>=]")


@pytest.fixture
def connection(registry: Registry) -> apsw.Connection:
    rng = random.Random(4)
    entries = []
    for number in range(3_000):
        time_ns = int(START.timestamp()) * 10**9 + number * 400_000
        record = AuditRecord(
            id=new_record_id(time_ns),
            time=str(time_ns),
            kind=Kind.INFERENCE,
            outcome=rng.choice((Outcome.ANSWERED, Outcome.REFUSED)),
            model=rng.choice(("flights", "linear")),
            version=rng.choice((1, 2)),
            lane=rng.choice((Lane.CHAMPION, Lane.PINNED, Lane.FALLBACK)),
            principal=rng.choice(("key-1", "key-2")),
            request_id=rng.choice((None, "again", str(number))),
        )
        entries.append(Entry(encode_record(record), None))
    registry.store.integrate("one.segment", 0, 1, entries)
    return registry.store._connection  # type: ignore[attr-defined,no-any-return]


def test_every_combination_of_filters_is_answered_from_ranges_of_indexes(
    connection: apsw.Connection,
) -> None:
    asked: dict[str, Sequence[Any]] = {}
    returned = 0

    def ask(query: str, values: Sequence[Any]) -> list[Any]:
        nonlocal returned
        asked[query] = values
        rows = connection.execute(query, values).fetchall()
        returned += len(rows)
        return rows

    assert len(COMBINATIONS) == 2**9
    for names in COMBINATIONS:
        wanted = RecordFilter(**{name: VALUES[name] for name in names})
        returned = 0
        found = records.find_records(ask, wanted, None, 10)
        assert len(found) == 10, names
        # Ten leaves, the ends of at most 32 streams, and of each a first chunk.
        assert returned <= 10 + 32 + 16 * 32, names

    for query, values in asked.items():
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        of_records = [step for step in steps if " record" in step]
        assert of_records, query
        for step in of_records:
            assert RANGE.search(step), (query, step)


def test_a_value_that_no_record_has_is_answered_without_looking_at_any(
    connection: apsw.Connection,
) -> None:
    rows = 0

    def ask(query: str, values: Sequence[Any]) -> list[Any]:
        nonlocal rows
        found = connection.execute(query, values).fetchall()
        rows += sum(row[-1] is not None for row in found)  # a stream without an end has None
        return found

    for wanted in (
        RecordFilter(lane="canary"),
        RecordFilter(model="flights", outcome=Outcome.FAILED),
        RecordFilter(principal="key-3", model="flights"),
        RecordFilter(request_id="again", principal="key-3"),
        RecordFilter(until=START),
        RecordFilter(model="flights", since=START + timedelta(days=1)),
    ):
        assert records.find_records(ask, wanted, None, 100) == []
    assert rows == 0
