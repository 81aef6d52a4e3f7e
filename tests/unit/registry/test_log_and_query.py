"""Journal records reach the store exactly once, and are found before, while and after they do."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.audit.log import BATCH_ENTRIES, drop_segments, integrate
from registry.audit.query import AuditTrail, accepts
from registry.audit.segment import list_segments
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, Payload, decode_record, encode_record, new_record_id, now_ns
from registry.errors import InvalidRequest, PayloadNotFound, RecordNotFound
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.registry import Registry

ANY = RecordFilter()


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder


@pytest.fixture
def trail(registry: Registry, journal_dir: Path) -> AuditTrail:
    return AuditTrail(registry.store, journal_dir)


def make_entry(request_id: str, payload: Payload | None = None) -> Entry:
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        time=str(time_ns),
        kind=Kind.INFERENCE,
        outcome=Outcome.ANSWERED,
        request_id=request_id,
    )
    return Entry(encode_record(record), payload)


def write(journal_dir: Path, *groups: list[Entry], seal: bool = True) -> SegmentWriter:
    writer = SegmentWriter(journal_dir)
    for group in groups:
        writer.append(group)
    if seal:
        writer.close()
    return writer


def request_ids(trail: AuditTrail) -> list[str | None]:
    """Follow the cursors from the newest record to the oldest."""
    found: list[str | None] = []
    cursor = None
    while True:
        page = trail.find(ANY, limit=7, cursor=cursor)
        found += [one.record.request_id for one in page.records]
        if page.cursor is None:
            return found
        cursor = page.cursor


def test_a_record_is_integrated_once_however_often_it_is_tried(
    registry: Registry, journal_dir: Path, trail: AuditTrail
) -> None:
    writer = write(journal_dir, [make_entry("a")], [make_entry("b")], seal=False)
    counts = [integrate(registry.store, journal_dir).records for _ in range(3)]
    writer.append([make_entry("c")])
    counts.append(integrate(registry.store, journal_dir).records)
    writer.close()

    assert counts == [2, 0, 0, 1]
    assert sorted(request_ids(trail)) == ["a", "b", "c"]


def test_more_records_than_a_batch_holds_arrive_in_order(
    registry: Registry, journal_dir: Path
) -> None:
    entries = [make_entry(str(number)) for number in range(BATCH_ENTRIES + 10)]
    write(journal_dir, entries[:BATCH_ENTRIES], entries[BATCH_ENTRIES:])

    assert integrate(registry.store, journal_dir).records == len(entries)
    for index in (0, BATCH_ENTRIES, len(entries) - 1):
        record_id = decode_record(entries[index].leaf).id
        assert registry.store.record(record_id) == (index, entries[index].leaf)


def test_a_segment_is_done_when_its_writer_has_gone_and_not_before(
    registry: Registry, journal_dir: Path
) -> None:
    living = write(journal_dir, [make_entry("a")], seal=False)
    write(journal_dir, [make_entry("b")])

    done = integrate(registry.store, journal_dir).done

    # It stays until whoever integrates says so, however often it is seen.
    assert len(done) == 1
    assert integrate(registry.store, journal_dir).done == done != (living.path.name,)
    assert len(list_segments(journal_dir)) == 2
    drop_segments(registry.store, journal_dir, done)
    assert list_segments(journal_dir) == [living.path]
    assert set(registry.store.positions()) == {living.path.name}
    living.close()
    assert integrate(registry.store, journal_dir).done == (living.path.name,)
    drop_segments(registry.store, journal_dir, (living.path.name,))
    assert registry.store.positions() == {}


def test_a_position_whose_segment_is_gone_is_forgotten(
    registry: Registry, journal_dir: Path
) -> None:
    # What a crash between removing a segment and forgetting it leaves behind.
    entries = [make_entry("a"), make_entry("b")]
    path = write(journal_dir, entries).path
    registry.store.integrate(path.name, 0, path.stat().st_size, entries)
    path.unlink()

    assert integrate(registry.store, journal_dir).records == 0
    assert registry.store.positions() == {}
    assert len(registry.store.records(ANY, before=None, limit=10)) == 2


def test_damage_is_recorded_kept_and_does_not_hide_what_follows(
    registry: Registry, journal_dir: Path, trail: AuditTrail
) -> None:
    writer = write(journal_dir, [make_entry("a")], [make_entry("b")], [make_entry("c")])
    data = bytearray(writer.path.read_bytes())
    data[data.index(b'"b"')] ^= 1
    writer.path.write_bytes(data)

    result = integrate(registry.store, journal_dir)

    assert result.damaged == (writer.path.name,)
    drop_segments(registry.store, journal_dir, result.done)
    assert sorted(map(str, request_ids(trail))) == ["None", "a", "c"]
    [damage] = trail.find(RecordFilter(kind=Kind.DAMAGE)).records
    assert writer.path.name in str(damage.record.subject)
    assert [path.suffix for path in journal_dir.iterdir()] == [".damaged"]


def test_a_record_is_found_before_and_after_it_is_integrated(
    registry: Registry, journal_dir: Path, trail: AuditTrail
) -> None:
    payload = Payload(b"s" * 32, b"in", b"out")
    entry = make_entry("a", payload)
    record_id = decode_record(entry.leaf).id
    write(journal_dir, [entry])

    before = trail.record(record_id)
    assert trail.payload(record_id) == payload
    integrate(registry.store, journal_dir)
    after = trail.record(record_id)

    assert (before.index, after.index) == (None, 0)
    assert before.leaf == after.leaf == entry.leaf
    assert trail.payload(record_id) == payload


def test_what_is_not_there_is_not_found(trail: AuditTrail, journal_dir: Path) -> None:
    entry = make_entry("a")
    write(journal_dir, [entry])

    for unknown in ("01a20000-0000-7000-8000-000000000000", "no id", ""):
        with pytest.raises(RecordNotFound):
            trail.record(unknown)
        with pytest.raises(RecordNotFound):
            trail.payload(unknown)
    with pytest.raises(PayloadNotFound):
        trail.payload(decode_record(entry.leaf).id)
    with pytest.raises(InvalidRequest):
        trail.find(ANY, cursor="no cursor")


def test_following_cursors_meets_each_record_once_while_others_arrive(
    registry: Registry, journal_dir: Path, trail: AuditTrail
) -> None:
    first = [str(number) for number in range(100)]
    writer = write(journal_dir, *([make_entry(name)] for name in first), seal=False)
    done = threading.Event()

    def keep_writing() -> None:
        while not done.is_set():
            writer.append([make_entry("later")])
            integrate(registry.store, journal_dir)

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        walks = [request_ids(trail) for _ in range(10)]
    finally:
        done.set()
        thread.join()
        writer.close()

    for walk in walks:
        assert sorted(name for name in walk if name != "later") == sorted(first)  # type: ignore[type-var]


def test_a_record_is_found_at_every_moment_of_its_way_into_the_store(
    registry: Registry, journal_dir: Path, trail: AuditTrail
) -> None:
    payload = Payload(b"s" * 32, b"in", b"out")
    acknowledged: list[str] = []
    done = threading.Event()

    def keep_writing_segments() -> None:
        try:
            for number in range(150):
                entry = make_entry(str(number), payload)
                writer = write(journal_dir, [entry], seal=False)
                acknowledged.append(decode_record(entry.leaf).id)
                integrate(registry.store, journal_dir)
                writer.close()
                drop_segments(
                    registry.store, journal_dir, integrate(registry.store, journal_dir).done
                )
        finally:
            done.set()

    thread = threading.Thread(target=keep_writing_segments)
    thread.start()
    looked_up = 0
    try:
        while not done.is_set():
            for record_id in acknowledged[-1:]:
                assert trail.record(record_id).record.id == record_id
                assert trail.payload(record_id) == payload
                looked_up += 1
            present = len(acknowledged)
            walk = request_ids(trail)
            assert len(set(walk)) == len(walk) >= present
    finally:
        thread.join()

    assert looked_up > 10
    assert list_segments(journal_dir) == []


_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_MOMENTS = st.integers(0, 86_400_000_000).map(lambda us: _DAY + timedelta(microseconds=us))


@given(since=st.none() | _MOMENTS, until=st.none() | _MOMENTS, at=_MOMENTS)
def test_a_time_range_includes_its_start_and_not_its_end(
    since: datetime | None, until: datetime | None, at: datetime
) -> None:
    time_ns = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    record = AuditRecord(id="", time=str(time_ns), kind=Kind.INFERENCE, outcome=Outcome.ANSWERED)

    accepted = accepts(RecordFilter(since=since, until=until), record)

    assert accepted == ((since is None or since <= at) and (until is None or at < until))
