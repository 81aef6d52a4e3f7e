"""Records and payloads are found again, by what they are asked for."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry.audit.query import accepts
from registry.entry import Entry, decode_record, encode_record
from registry.errors import Conflict, InvalidRequest
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.store import Store
from registry.times import from_us
from tests.contracts.stored import PAYLOAD, START, fill, make_entries, make_record


def test_a_record_is_stored_once(store: Store) -> None:
    record = make_record()
    with store.write() as tx:
        tx.append(record)
    with pytest.raises(Conflict), store.write() as tx:
        tx.append(record)
    with pytest.raises(Conflict):
        store.integrate("one", 0, 9, [*make_entries(1), Entry(encode_record(record), None)])
    assert store.record(record.id) == (0, encode_record(record))
    assert store.positions() == {}
    assert len(store.records(RecordFilter(), before=None, limit=9)) == 1


def test_values_beyond_the_database_are_refused_by_name(store: Store) -> None:
    fill(store)
    for ask in (
        lambda: store.version("m", 2**63),
        lambda: store.versions("\udcff"),
    ):
        with pytest.raises(InvalidRequest):
            ask()


def test_a_text_that_is_no_id_finds_no_record(store: Store) -> None:
    fill(store)
    for text in ("", "none", "' OR 1", "\udcff", "0" * 5000):
        assert store.record(text) is None
        assert store.payload(text) is None
        with pytest.raises(InvalidRequest):
            store.records(RecordFilter(), before=text, limit=1)


def test_records_come_newest_first_up_to_the_limit(store: Store) -> None:
    seconds = list(range(20))
    random.Random(3).shuffle(seconds)
    store.integrate("one", 0, 9, make_entries(*seconds))
    found = store.records(RecordFilter(), before=None, limit=7)
    times = [from_us(int(decode_record(leaf).time) // 1000) for _, leaf in found]
    assert times == [START + timedelta(seconds=second) for second in range(19, 12, -1)]


def test_following_the_last_id_meets_every_record_once(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*(number / 3 for number in range(50))))
    met: list[str] = []
    before = None
    while page := store.records(RecordFilter(), before=before, limit=7):
        met += [decode_record(leaf).id for _, leaf in page]
        before = met[-1]
    assert len(met) == 50
    assert met == sorted(set(met), reverse=True)


def make_varied(rng: random.Random) -> AuditRecord:
    return make_record(
        rng.randrange(0, 100) / 10,
        kind=rng.choice(list(Kind)),
        outcome=rng.choice(list(Outcome)),
        model=rng.choice(["m", "n", None]),
        version=rng.choice([1, 2, None]),
        lane=rng.choice([*Lane, None]),
        principal=rng.choice(["key:a", "key:b", None]),
        request_id=rng.choice(["x", "'; DROP TABLE record", None]),
    )


FILTERS: dict[str, list[Any]] = {
    "model": ["m", "none"],
    "version": [1, 2],
    "lane": list(Lane),
    "kind": list(Kind),
    "principal": ["key:a"],
    "outcome": list(Outcome),
    "request_id": ["x", "'; DROP TABLE record"],
    "since": [START + timedelta(seconds=second) for second in (0, 3.3, 100)],
    "until": [START + timedelta(seconds=second) for second in (0, 3.3, 100)],
}


def test_every_filter_and_pair_of_filters_finds_what_it_describes(store: Store) -> None:
    rng = random.Random(5)
    records = [make_varied(rng) for _ in range(300)]
    store.integrate("one", 0, 9, [Entry(encode_record(record), None) for record in records])
    choices = [(name, value) for name, values in FILTERS.items() for value in values]
    for first in choices:
        for second in choices:
            wanted = RecordFilter(**dict((first, second)))
            expected = {record.id for record in records if accepts(wanted, record)}
            found = [decode_record(leaf).id
                     for _, leaf in store.records(wanted, before=None, limit=1000)]  # fmt: skip
            assert set(found) == expected, wanted
            assert found == sorted(found, reverse=True)


def test_a_time_filter_parts_the_records_of_one_millisecond(store: Store) -> None:
    offsets = (0.0, 0.0004, 0.0005, 0.0009)
    store.integrate("one", 0, 9, make_entries(*offsets))
    bound = START + timedelta(microseconds=500)
    early = store.records(RecordFilter(until=bound), before=None, limit=9)
    late = store.records(RecordFilter(since=bound), before=None, limit=9)
    assert sorted(index for index, _ in early) == [0, 1]
    assert sorted(index for index, _ in late) == [2, 3]


def test_times_at_the_ends_of_the_calendar_are_answered(store: Store) -> None:
    fill(store)
    wide = RecordFilter(
        since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC)
    )
    assert len(store.records(wide, before=None, limit=9)) == 1


def test_a_payload_stands_beside_its_record_alone(store: Store) -> None:
    first, second = make_record(1), make_record(2)
    store.integrate(
        "one", 0, 9, [Entry(encode_record(first), None), Entry(encode_record(second), PAYLOAD)]
    )
    assert store.payload(first.id) is None
    assert store.payload(second.id) == PAYLOAD


def test_the_leaf_is_kept_byte_for_byte(store: Store) -> None:
    record = make_record()
    leaf = encode_record(record).replace(b",", b" , ")
    store.integrate("one", 0, 9, [Entry(leaf, None)])
    assert store.record(record.id) == (0, leaf)
