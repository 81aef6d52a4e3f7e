"""The two readings of a filter, SQL in the store and `accepts` on the tail, never disagree."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.audit.query import AuditTrail, accepts
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, encode_record, new_record_id
from registry.errors import PayloadNotFound
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.store import Store
from tests.builders import open_registry

ANY = RecordFilter()
START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = (None, "flights", "Flights", "flights ")
VERSIONS = (None, 1, 2)
LANES = (None, *Lane)
PRINCIPALS = (None, "local:a", "key-1")
REQUESTS = (None, "", "a", "a'b", "ü", "nul\0")


def make_record(rng: random.Random) -> AuditRecord:
    moment = START + timedelta(microseconds=rng.randrange(5_000))
    time_ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    time_ns += rng.choice([0, 1, 999])
    return AuditRecord(
        id=new_record_id(time_ns),
        time=str(time_ns),
        kind=rng.choice(list(Kind)),
        outcome=rng.choice(list(Outcome)),
        model=rng.choice(MODELS),
        version=rng.choice(VERSIONS),
        lane=rng.choice(LANES),
        principal=rng.choice(PRINCIPALS),
        request_id=rng.choice(REQUESTS),
    )


RECORDS = tuple(make_record(random.Random(seed)) for seed in range(400))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that holds RECORDS, in the order of the tuple."""
    registry = open_registry(tmp_path_factory.mktemp("data"))
    entries = [Entry(encode_record(record), None) for record in RECORDS]
    registry.store.integrate("one.segment", 0, 1, entries)
    yield registry.store
    registry.store.close()


near = st.integers(-2, 5_002).map(lambda us: START + timedelta(microseconds=us))
anywhere = st.datetimes(timezones=st.just(UTC))
moments = st.none() | near | anywhere
filters = st.builds(
    RecordFilter,
    model=st.sampled_from(MODELS) | st.text(max_size=3),
    version=st.sampled_from(VERSIONS) | st.integers(),
    lane=st.sampled_from(LANES) | st.just("canary"),
    kind=st.none() | st.sampled_from(Kind),
    principal=st.sampled_from(PRINCIPALS),
    outcome=st.none() | st.sampled_from(Outcome),
    request_id=st.sampled_from(REQUESTS) | st.text(max_size=3),
    since=moments,
    until=moments,
)
few_conditions = st.one_of(
    st.builds(RecordFilter, since=moments, until=moments),
    st.builds(RecordFilter, model=st.sampled_from(MODELS), version=st.integers() | st.just(1)),
    st.builds(RecordFilter, kind=st.sampled_from(Kind), outcome=st.sampled_from(Outcome)),
    st.builds(RecordFilter, request_id=st.sampled_from(REQUESTS), lane=st.sampled_from(LANES)),
    filters,
)


@given(wanted=few_conditions, before=st.none() | st.sampled_from(RECORDS))
def test_the_store_finds_exactly_what_the_filter_accepts(
    store: Store, wanted: RecordFilter, before: AuditRecord | None
) -> None:
    cursor = None if before is None else before.id
    stored = store.records(wanted, before=cursor, limit=len(RECORDS))

    accepted = [
        record.id
        for record in RECORDS
        if accepts(wanted, record) and (cursor is None or record.id < cursor)
    ]
    leaves = {record.id: encode_record(record) for record in RECORDS}
    assert [leaf for _, leaf in stored] == [leaves[one] for one in sorted(accepted, reverse=True)]


@pytest.mark.parametrize("is_integrated", [True, False], ids=["integrated", "in the journal"])
def test_an_id_is_known_in_every_form_of_a_uuid(
    tmp_path: Path, store: Store, is_integrated: bool
) -> None:
    record = RECORDS[0] if is_integrated else make_record(random.Random(0))
    if not is_integrated:
        writer = SegmentWriter(tmp_path)
        writer.append([Entry(encode_record(record), None)])
        writer.close()
    trail = AuditTrail(store, tmp_path)
    written = record.id

    for form in (written, written.upper(), written.replace("-", ""), f"urn:uuid:{written}"):
        assert trail.record(form).record == record
        with pytest.raises(PayloadNotFound):
            trail.payload(form)
        assert trail.find(ANY, cursor=form) == trail.find(ANY, cursor=written)
