"""What is promised of the SQLite file alone."""

import gc
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from registry import service
from registry.audit.verify.faults import Malformed
from registry.audit.verify.store import StoreSource
from registry.entry import Entry, Payload, decode_record, encode_record, new_record_id, now_ns
from registry.errors import Conflict, StoreIncompatible, StoreUnavailable
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.store import Store, open_store
from registry.stores.connection import check_library
from registry.stores.sqlite import SqliteStore
from registry.times import now
from tests.builders import AUTHOR, linear_model, open_registry, publish
from tests.unit.registry.formats import as_format_1, as_format_2, as_format_3, as_format_4

OPEN = """
import sys
from pathlib import Path
from registry.store import open_store
print("ready", flush=True)
sys.stdin.readline()
print(open_store(Path(sys.argv[1])).generation())
"""


@pytest.mark.parametrize("version", ["3.7.0", "3.51.2", "3.51", "3.9.99", "2.99.99"])
def test_a_library_that_can_corrupt_the_store_is_refused(version: str) -> None:
    with pytest.raises(StoreIncompatible, match=version):
        check_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.52", "3.100.0", "4.0.0"])
def test_a_library_without_the_fault_is_accepted(version: str) -> None:
    check_library(version)


def test_the_library_at_hand_is_asked_when_a_store_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.50.0")
    with pytest.raises(StoreIncompatible):
        open_store(tmp_path)


def test_what_is_committed_is_synced(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert list(store._connection.execute("PRAGMA synchronous")) == [(2,)]  # type: ignore[attr-defined]
    assert list(store._connection.execute("PRAGMA journal_mode")) == [("wal",)]  # type: ignore[attr-defined]
    store.close()


def test_the_connection_of_a_thread_goes_with_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert isinstance(store, SqliteStore)
    for _ in range(20):
        thread = threading.Thread(target=store.generation)
        thread.start()
        thread.join()
    gc.collect()
    assert list(store._opened) == [store._connection]
    store.close()


def test_nobody_else_can_read_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new")
    store.generation()
    files = [path for path in (tmp_path / "new").iterdir() if path.name.startswith("store.sqlite3")]
    assert len(files) == 3  # the database, its log and the index of the log
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    store.close()


def test_a_store_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    connection = apsw.Connection(str(tmp_path / "store.sqlite3"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / "store.sqlite3").read_bytes()
    with pytest.raises(StoreIncompatible, match="99"):
        open_store(tmp_path)
    assert (tmp_path / "store.sqlite3").read_bytes() == before


@pytest.mark.parametrize("as_before", [as_format_1, as_format_2, as_format_3, as_format_4])
def test_a_store_of_an_earlier_format_is_brought_to_this_one_with_all_it_holds(
    tmp_path: Path, as_before: Callable[[Path], None]
) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    payload = Payload(b"s" * 32, b"in", b"out")
    size = registry.store.tree_size()
    [leaf] = registry.store.leaves(size - 1, size)
    other = leaf.replace(decode_record(leaf).id.encode(), new_record_id(now_ns()).encode())
    registry.store.integrate("one.segment", 0, 1, [Entry(other, payload)])
    before = everything(registry.store)
    registry.store.close()
    as_before(tmp_path)

    registry = open_registry(tmp_path)

    assert everything(registry.store) == before
    assert registry.store.payload(decode_record(other).id) == payload
    with pytest.raises(Conflict):
        registry.store.integrate("two.segment", 0, 1, [Entry(other, payload)])
    service.unload(registry, "linear", AUTHOR)
    registry.store.close()
    registry = open_registry(tmp_path)
    assert service.unloaded(registry.store) == {"linear"}
    registry.store.close()


def test_the_log_of_a_store_before_its_migration_is_read_by_the_checker(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.integrate("one", 0, 9, make_entries(3))
    store.close()
    for as_before, is_read in ((as_format_3, True), (as_format_2, False)):
        as_before(tmp_path)
        if is_read:
            with closing(StoreSource(tmp_path)) as source:
                assert source.size(0) == 3
        else:
            with pytest.raises(Malformed, match="format 2"):
                StoreSource(tmp_path)


def make_entries(count: int) -> list[Entry]:
    leaf = b'{"v":1,"id":"%b","time":"1","kind":"damage","outcome":"failed"}'
    return [Entry(leaf % new_record_id(number).encode(), None) for number in range(count)]


def test_the_records_of_a_store_without_a_tree_are_hashed_when_it_is_opened(tmp_path: Path) -> None:
    places = ((0, 0), (0, 1), (0, 2), (1, 0))
    store = open_store(tmp_path)
    store.integrate("one", 0, 9, make_entries(600))
    before = [store.tile(*place) for place in places]
    store.close()
    as_format_2(tmp_path)

    store = open_store(tmp_path)

    assert store.tree_size() == 600
    assert [store.tile(*place) for place in places] == before
    assert len(before[2]) == (600 - 512) * 32
    store.close()


def test_an_index_is_given_once_even_where_its_record_is_gone(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.integrate("one", 0, 9, make_entries(3))
    connection = apsw.Connection(str(tmp_path / "store.sqlite3"))
    connection.execute("DELETE FROM record")
    connection.close()

    store.integrate("two", 0, 9, [later := make_entries(4)[-1]])

    assert store.records(RecordFilter(), before=None, limit=9) == [(3, later.leaf)]
    store.close()


def everything(store: Store) -> list[object]:
    year = timedelta(days=365)
    return [
        store.versions("linear"),
        store.alias_changes("linear"),
        store.records(RecordFilter(), before=None, limit=100),
        store.records(RecordFilter(kind=Kind.ADMIN, model="linear"), before=None, limit=100),
        store.tallies(since=now() - year, until=now() + year, hours=24, model=None),
    ]


@pytest.mark.parametrize("as_before", [as_format_1, as_format_2, as_format_3, as_format_4])
def test_a_new_store_has_the_tables_of_a_migrated_one(
    tmp_path: Path, as_before: Callable[[Path], None]
) -> None:
    def tables(folder: Path) -> list[object]:
        connection = apsw.Connection(str(folder / "store.sqlite3"))
        found = list(connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name"))
        connection.close()
        # A column that was added stands in the text as SQLite writes it.
        return [(name, re.sub(r"\s*([,()])\s*|\s+", r" \1 ", sql or "")) for name, sql in found]

    for name in ("new", "old"):
        open_store(tmp_path / name).close()
    as_before(tmp_path / "old")
    open_store(tmp_path / "old").close()

    assert tables(tmp_path / "old") == tables(tmp_path / "new")


@pytest.mark.parametrize(
    "content", [b"not a database " * 500, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.sqlite3").write_bytes(content)
    with pytest.raises(StoreUnavailable):
        open_store(tmp_path)


def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnavailable):
            open_store(path)


def test_processes_can_open_a_new_store_together(tmp_path: Path) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        children = [
            subprocess.Popen(
                [sys.executable, "-c", OPEN, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(5)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        assert [child.communicate(timeout=30)[0] for child in children] == ["0\n"] * 5


def test_threads_can_open_a_new_store_together(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    generations: list[int] = []

    def go() -> None:
        barrier.wait()
        store = open_store(tmp_path)
        generations.append(store.generation())
        store.close()

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert generations == [0] * 8


def test_the_write_ahead_log_does_not_grow_with_what_is_integrated(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    payload = Payload(b"s" * 32, b"i" * 200_000, b"o" * 200_000)
    largest = 0
    for step in range(300):
        time_ns = now_ns()
        record = AuditRecord(
            id=new_record_id(time_ns),
            time=str(time_ns),
            kind=Kind.INFERENCE,
            outcome=Outcome.ANSWERED,
        )
        store.integrate("one", step, step + 1, [Entry(encode_record(record), payload)])
        largest = max(largest, (tmp_path / "store.sqlite3-wal").stat().st_size)
    store.close()

    # SQLite moves the log into the database at 4,000 pages of 8,192 bytes.
    assert largest < 34 << 20
