"""What every store promises; each test runs on every store there is."""

import multiprocessing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.entry import Entry, Payload, decode_record, encode_record, new_record_id
from registry.errors import Conflict, InvalidRequest, StoreIncompatible, StoreUnavailable
from registry.records import (
    AliasCause,
    AliasChange,
    AuditRecord,
    Key,
    Kind,
    Outcome,
    RecordFilter,
    Version,
    VersionState,
    WorkerStatus,
)
from registry.store import Store
from registry.stores.sqlite import SqliteStore, check_library

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_MILLISECOND_NS = 1_000_000


@pytest.fixture(params=["sqlite"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Open the same store, as often as asked."""
    opened: list[Store] = []

    def open_store() -> Store:
        opened.append({"sqlite": SqliteStore}[request.param](tmp_path / "store"))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    return open_again()


def make_record(number: int = 0, **fields: object) -> AuditRecord:
    time_ns = int(NOON.timestamp()) * 1_000_000_000 + number * _MILLISECOND_NS
    return AuditRecord(
        id=new_record_id(time_ns),
        time=str(time_ns),
        kind=fields.pop("kind", Kind.INFERENCE),  # type: ignore[arg-type]
        outcome=fields.pop("outcome", Outcome.ANSWERED),  # type: ignore[arg-type]
        **fields,  # type: ignore[arg-type]
    )


def make_version(number: int = 1, model: str = "flights") -> Version:
    return Version(
        model=model,
        number=number,
        artifact="sha256:a",
        manifest="sha256:b",
        state=VersionState.PUBLISHED,
        author="tests",
        created=NOON,
    )


def make_change(version: int | None, alias: str = "champion", **fields: object) -> AliasChange:
    return AliasChange(
        model="flights",
        alias=alias,
        version=version,
        cause=AliasCause.PROMOTE,
        at=NOON,
        principal="tests",
        reason="because",
        record_id="r",
        **fields,  # type: ignore[arg-type]
    )


def make_key() -> Key:
    return Key(
        id="key-1",
        name="n",
        digest=b"d" * 32,
        roles=("admin", "viewer"),
        author="tests",
        created=NOON,
        expires=NOON + timedelta(days=1),
        revoked=None,
    )


def fill(store: Store, *versions: Version) -> None:
    with store.write() as tx:
        for version in versions:
            tx.add_version(version)
        tx.append(make_record())


def entries_of(records: list[AuditRecord]) -> list[Entry]:
    return [Entry(encode_record(record), None) for record in records]


def test_what_was_written_is_there_when_opened_again(open_again: Callable[[], Store]) -> None:
    first = open_again()
    fill(first, make_version())
    with first.write() as tx:
        tx.add_key(make_key())
        tx.append(make_record())
    first.close()

    second = open_again()

    assert second.version("flights", 1) == make_version()
    assert second.models() == ["flights"]
    assert second.api_keys() == [make_key()]


def test_an_error_inside_a_transaction_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        tx.add_version(make_version())
        tx.append(make_record())
        raise ZeroDivisionError

    assert store.versions("flights") == []
    assert store.records(RecordFilter(), before=None, limit=10) == []
    assert store.generation() == 0


def test_a_change_without_a_record_is_refused_and_undone(store: Store) -> None:
    with pytest.raises(RuntimeError), store.write() as tx:
        tx.add_version(make_version())

    assert store.versions("flights") == []


def test_the_same_version_cannot_be_written_twice(store: Store) -> None:
    fill(store, make_version())

    with pytest.raises(Conflict), store.write() as tx:
        tx.add_version(make_version())
        tx.append(make_record())


def test_the_generation_grows_with_changes_and_not_with_records(store: Store) -> None:
    fill(store, make_version())
    after_change = store.generation()
    with store.write() as tx:
        tx.append(make_record(1))
    store.integrate("s", 0, 10, entries_of([make_record(2)]))

    assert after_change == 1
    assert store.generation() == 1


def test_an_alias_names_what_its_last_change_says(store: Store) -> None:
    fill(store, make_version(1), make_version(2))
    with store.write() as tx:
        for version, alias in ((1, "champion"), (2, "champion"), (1, "mine"), (None, "mine")):
            tx.add_alias_change(make_change(version, alias))
        tx.append(make_record())

    assert store.aliases("flights") == {"champion": 2}
    assert [change.version for change in store.alias_changes("flights")] == [1, 2, 1, None]


def test_an_alias_cannot_name_a_version_that_does_not_exist(store: Store) -> None:
    with pytest.raises(Conflict), store.write() as tx:
        tx.add_alias_change(make_change(9))
        tx.append(make_record())


def test_state_and_revocation_are_changed_in_place(store: Store) -> None:
    fill(store, make_version())
    with store.write() as tx:
        tx.add_key(make_key())
        tx.revoke_key("key-1", NOON)
        tx.set_state("flights", 1, VersionState.RETIRED)
        tx.append(make_record())

    assert store.versions("flights")[0].state is VersionState.RETIRED
    assert store.api_keys()[0].revoked == NOON


def test_records_come_newest_first_and_below_a_cursor(store: Store) -> None:
    records = [make_record(number) for number in range(10)]
    store.integrate("s", 0, 1, entries_of(records))
    newest_first = [record.id for record in reversed(records)]

    page = store.records(RecordFilter(), before=None, limit=4)
    rest = store.records(RecordFilter(), before=newest_first[3], limit=100)

    assert [decode_record(leaf).id for _, leaf in page] == newest_first[:4]
    assert [decode_record(leaf).id for _, leaf in rest] == newest_first[4:]


@pytest.mark.parametrize(
    "wanted",
    [
        {"model": "flights"},
        {"model": "flights", "version": 2},
        {"lane": "pinned"},
        {"kind": Kind.ADMIN},
        {"principal": "key-9"},
        {"outcome": Outcome.REFUSED},
        {"request_id": "r-5"},
        {"since": NOON + timedelta(milliseconds=3)},
        {"until": NOON + timedelta(milliseconds=3)},
        {
            "since": NOON + timedelta(milliseconds=2),
            "until": NOON + timedelta(milliseconds=2, microseconds=1),
        },
    ],
)
def test_a_filter_finds_what_fits_and_nothing_else(store: Store, wanted: dict[str, object]) -> None:
    from registry.audit.query import accepts

    records = [
        make_record(
            number,
            model="flights" if number % 2 else "other",
            version=1 + number % 3,
            lane="pinned" if number == 4 else "champion",
            kind=Kind.ADMIN if number == 6 else Kind.INFERENCE,
            outcome=Outcome.REFUSED if number == 7 else Outcome.ANSWERED,
            principal=f"key-{number}",
            request_id=f"r-{number}",
        )
        for number in range(10)
    ]
    store.integrate("s", 0, 1, entries_of(records))
    asked = RecordFilter(**wanted)  # type: ignore[arg-type]

    found = {decode_record(leaf).id for _, leaf in store.records(asked, before=None, limit=99)}

    assert found == {record.id for record in records if accepts(asked, record)}
    assert 0 < len(found) < len(records)


def test_a_cursor_that_is_no_record_id_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest):
        store.records(RecordFilter(), before="'; DROP TABLE record", limit=1)


def test_bytes_of_a_segment_are_integrated_once(store: Store) -> None:
    store.integrate("s", 0, 100, entries_of([make_record(1)]))

    with pytest.raises(Conflict):
        store.integrate("s", 0, 100, entries_of([make_record(2)]))

    assert store.positions() == {"s": 100}
    assert len(store.records(RecordFilter(), before=None, limit=9)) == 1


def test_a_record_keeps_its_exact_bytes_and_its_payload(store: Store) -> None:
    record = make_record(1)
    leaf = encode_record(record)
    payload = Payload(b"s" * 32, b"input", b"")
    store.integrate("s", 0, 1, [Entry(leaf, payload)])

    assert store.record(record.id) == (0, leaf)
    assert store.record(record.id.upper()) == (0, leaf)
    assert store.payload(record.id) == payload
    assert store.record("no id") is None
    assert store.payload(make_record(2).id) is None


def test_a_snapshot_does_not_see_what_came_after_it(open_again: Callable[[], Store]) -> None:
    reader, writer = open_again(), open_again()
    fill(writer, make_version(1))

    with reader.snapshot() as view:
        before = view.versions("flights")
        fill(writer, make_version(2))
        assert view.versions("flights") == before

    assert len(reader.versions("flights")) == 2


def test_workers_are_known_by_what_they_said_last_until_they_end(store: Store) -> None:
    for generation in (1, 2):
        store.report_worker(
            WorkerStatus(worker="w", pid=7, generation=generation, failures={"m/1": "why"})
        )

    assert [status.generation for status in store.workers()] == [2]
    store.forget_worker(7)
    assert store.workers() == []


def test_indexes_have_no_gaps_when_processes_write_at_once(
    open_again: Callable[[], Store], tmp_path: Path
) -> None:
    store = open_again()
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=append_many, args=(tmp_path / "store", number, 40))
        for number in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    indexes = [index for index, _ in store.records(RecordFilter(), before=None, limit=999)]
    assert sorted(indexes) == list(range(120))


def append_many(path: Path, number: int, count: int) -> None:
    store = SqliteStore(path)
    for position in range(count):
        if number:
            with store.write() as tx:
                tx.append(make_record(position))
        else:
            store.integrate("s", position, position + 1, entries_of([make_record(position)]))
    store.close()


def test_a_library_that_can_corrupt_the_store_is_refused() -> None:
    check_library("3.51.3")
    for old in ("3.7.0", "3.40.1", "3.51.2"):
        with pytest.raises(StoreIncompatible):
            check_library(old)


def test_a_store_of_another_format_is_refused(open_again: Callable[[], Store]) -> None:
    store = open_again()
    assert isinstance(store, SqliteStore)
    store._rows("PRAGMA user_version = 99")

    with pytest.raises(StoreIncompatible):
        open_again()


def test_a_path_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "no folder" / "store")
