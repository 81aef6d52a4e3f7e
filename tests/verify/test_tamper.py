"""Whatever is changed in a log is found, and the first record that does not fit is named.

The logs are a real store and a real export of it; each change is made to the files themselves.
"""

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from registry.audit.static import export_tiles
from registry.audit.verify.checkpoints import Trust
from registry.audit.verify.faults import Fault
from registry.audit.verify.leaves import read_leaf
from registry.audit.verify.log import check_log
from registry.audit.verify.notes import read_vkey
from registry.audit.verify.report import Report
from registry.audit.verify.sources import ExportSource
from registry.audit.verify.store import StoreSource
from registry.entry import Entry
from registry.errors import Conflict, NotPublished
from registry.store import Store, open_store
from tests.verify.logs import OTHER, SIGNER, VKEY, extend, make_entry, sign, write_log

SIZES = (1, 256, 300, 612, 700)
SIZE = 700
TRUST = Trust(keys=(read_vkey(VKEY),))


class Log:
    """A log that can be tampered with: a store, and an export of it."""

    def __init__(self, data_dir: Path, store: Store) -> None:
        self.data_dir = data_dir
        self.export = data_dir / "export"
        self.leaves = store.leaves(0, SIZE)
        export_tiles(store, self.export, payloads=True)
        store.close()
        with closing(apsw.Connection(str(data_dir / "store.sqlite3"))) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
        self.store = (data_dir / "store.sqlite3").read_bytes()
        self.copy = data_dir / "copy"
        self.copy.mkdir()

    def check(self, trust: Trust = TRUST) -> Report:
        with closing(StoreSource(self.data_dir)) as source:
            return check_log(source, trust)

    def check_export(self, trust: Trust = TRUST) -> Report:
        return check_log(ExportSource(self.export), trust)

    def ask(self, query: str) -> Any:
        with closing(apsw.Connection(str(self.data_dir / "store.sqlite3"))) as connection:
            return connection.execute(query).fetchone()

    def fault(self, *statements: tuple[str, Sequence[Any]]) -> Fault:
        """Change a copy of the store, and say what the checker finds."""
        path = self.copy / "store.sqlite3"
        path.write_bytes(self.store)
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            for query, values in statements:
                connection.execute(query, values)
        with closing(StoreSource(self.copy)) as source:
            found = check_log(source, TRUST).fault
        assert found is not None, statements
        return found

    def fault_of(self, path: Path, data: bytes) -> Fault:
        """Change a file of the export, say what the checker finds, and undo the change."""
        before = path.read_bytes()
        assert before != data
        path.write_bytes(data)
        found = self.check_export().fault
        path.write_bytes(before)
        assert found is not None, path
        return found

    def bundle(self, index: int) -> tuple[Path, list[bytes]]:
        number = index // 256
        width = min(256, SIZE - 256 * number)
        name = f"{number:03}" if width == 256 else f"{number:03}.p/{width}"
        path = self.export / "tile" / "entries" / name
        return path, self.leaves[256 * number : 256 * number + width]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    data_dir = tmp_path_factory.mktemp("log")
    log = Log(data_dir, write_log(data_dir, SIZES))
    for report in (log.check(), log.check_export()):
        assert report.fault is None
        assert report.records == report.payloads == SIZE
    yield log
    for report in (log.check(), log.check_export()):
        assert report.fault is None, "a change was not undone"


def pack(entries: Sequence[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def flipped(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def names(fault: Fault, index: int) -> bool:
    return fault.first == fault.last == index


def spread(random: random.Random, count: int) -> list[int]:
    """Choose records, those at the edges of tiles among them."""
    edges = [0, 255, 256, 511, 512, SIZE - 1]
    others = [index for index in range(SIZE) if index not in edges]
    return sorted([*edges, *random.sample(others, count - len(edges))])


def flip_leaves(log: Log, indexes: Sequence[int], step: int, *, rng: random.Random) -> int:
    """Flip a bit of each `step`-th byte of leaves, in the export; count what was found."""
    found = 0
    for index in indexes:
        path, entries = log.bundle(index)
        leaf = log.leaves[index]
        for place in range(rng.randrange(step), len(leaf), step):
            entries[index % 256] = flipped(leaf, place, rng.randrange(8))
            found += names(log.fault_of(path, pack(entries)), index)
        entries[index % 256] = leaf
    return found


def test_a_flipped_byte_of_a_leaf_is_found_in_an_export(log: Log) -> None:
    rng = random.Random(1)
    index = rng.randrange(SIZE)
    assert flip_leaves(log, [index], 1, rng=rng) == len(log.leaves[index])
    indexes = spread(rng, 60)
    # A step as long as the leaf is one byte of it.
    assert flip_leaves(log, indexes, min(map(len, log.leaves)), rng=rng) >= len(indexes)


@pytest.mark.torture
def test_every_flipped_byte_of_200_leaves_is_found_in_an_export(log: Log) -> None:
    rng = random.Random(2)
    indexes = spread(rng, 200)
    assert flip_leaves(log, indexes, 1, rng=rng) == sum(len(log.leaves[one]) for one in indexes)


def test_a_flipped_byte_of_a_leaf_is_found_in_a_store(log: Log) -> None:
    rng = random.Random(3)
    for index in spread(rng, 40):
        leaf = flipped(log.leaves[index], rng.randrange(len(log.leaves[index])))
        fault = log.fault(("UPDATE record SET leaf = ? WHERE idx = ?", (leaf, index)))
        assert names(fault, index)


def test_a_record_that_can_still_be_read_is_named_by_its_id(log: Log) -> None:
    leaf = log.leaves[300].replace(b'"answered"', b'"refused"')
    fault = log.fault(("UPDATE record SET leaf = ? WHERE idx = 300", (leaf,)))
    assert names(fault, 300)
    assert fault.record_id == read_leaf(log.leaves[300])["id"]


def change_order(log: Log, count: int, seed: int) -> int:
    """Drop, empty, swap and repeat records, in store and export; count what was found."""
    rng, found = random.Random(seed), 0
    for index in spread(rng, count):
        path, entries = log.bundle(index)
        at = index % 256
        found += names(log.fault(("DELETE FROM record WHERE idx = ?", (index,))), index)
        found += names(log.fault_of(path, pack(entries[:at] + entries[at + 1 :])), index)
        found += names(log.fault_of(path, pack([*entries[:at], b"", *entries[at + 1 :]])), index)
        found += names(log.fault_of(path, pack(entries[: at + 1] + entries[at:])), index + 1)
        other = rng.choice([one for one in range(SIZE) if one != index])
        leaf, others = log.leaves[index], log.leaves[other]
        swap = "UPDATE record SET leaf = ? WHERE idx = ?"
        found += names(log.fault((swap, (others, index)), (swap, (leaf, other))), min(index, other))
        found += names(log.fault((swap, (others, index))), index)
        found += names(log.fault_of(path, pack([*entries[:at], others, *entries[at + 1 :]])), index)
    return found


def test_records_dropped_swapped_and_repeated_are_found(log: Log) -> None:
    assert change_order(log, 20, 4) == 20 * 7


@pytest.mark.torture
def test_200_records_dropped_swapped_and_repeated_are_found(log: Log) -> None:
    assert change_order(log, 200, 5) == 200 * 7


def test_a_record_outside_the_tree_is_found(log: Log) -> None:
    row = log.ask("SELECT * FROM record WHERE idx = 5")
    for index in (SIZE, SIZE + 7, -1):
        values = (index, bytes(16), *row[2:])
        places = ", ".join("?" * len(values))
        assert names(log.fault((f"INSERT INTO record VALUES ({places})", values)), index)


def test_a_flipped_byte_of_a_tile_is_found(log: Log) -> None:
    rng = random.Random(6)
    for path in sorted((log.export / "tile").glob("[0-9]*/**/*")):
        if not path.is_file():
            continue
        level, tile = int(path.relative_to(log.export / "tile").parts[0]), path.read_bytes()
        number = int(path.parent.stem if path.parent.suffix == ".p" else path.stem)
        for place in {0, len(tile) - 1, *(rng.randrange(len(tile)) for _ in range(10))}:
            fault = log.fault_of(path, flipped(tile, place, rng.randrange(8)))
            first = (number * 256 + place // 32) * 256**level
            assert (fault.first, fault.last) == (first, first + 256**level - 1)
            assert log.fault_of(path, tile[:place]).first is not None
        assert log.fault_of(path, tile + bytes(32)).first is not None


def test_a_tile_that_is_changed_in_the_store_is_found(log: Log) -> None:
    rng = random.Random(7)
    for number in (0, 1):
        (tile,) = log.ask(f"SELECT hashes FROM tile WHERE number = {number}")
        place = rng.randrange(len(tile))
        query = "UPDATE tile SET hashes = ? WHERE number = ?"
        fault = log.fault((query, (flipped(tile, place), number)))
        assert names(fault, number * 256 + place // 32)
        assert log.fault((query, (tile[:-1], number))).first == number * 256
        assert log.fault(("DELETE FROM tile WHERE number = ?", (number,))).reason
    assert log.fault(("INSERT INTO tile VALUES (0, 9, x'00')", ())).reason
    (edge,) = log.ask("SELECT frontier FROM tree")
    for place in range(0, len(edge), 97):
        fault = log.fault(("UPDATE tree SET frontier = ?", (flipped(edge, place),)))
        # The level-1 tile at the edge, behind the 188 hashes of level 0, is over 512 records.
        first = 512 + place // 32 if place < 188 * 32 else (place // 32 - 188) * 256
        assert fault.first == first
    for query in (
        "UPDATE tree SET frontier = zeroblob(31)",
        "UPDATE tree SET size = size - 1",
        "UPDATE tree SET size = -1",
        "DELETE FROM tree",
    ):
        assert log.fault((query, ())).reason


def test_every_changed_byte_of_the_checkpoint_is_found(log: Log) -> None:
    path = log.export / "checkpoint"
    note = path.read_bytes()
    rng = random.Random(8)
    for place in range(len(note)):
        assert log.fault_of(path, flipped(note, place, rng.randrange(8))).reason
    (stored,) = log.ask("SELECT note FROM checkpoint WHERE size = 300")
    for place in range(0, len(stored), 3):
        changed = stored[:place] + chr(ord(stored[place]) ^ 1) + stored[place + 1 :]
        assert log.fault(("UPDATE checkpoint SET note = ? WHERE size = 300", (changed,))).reason
    for query in (
        "UPDATE checkpoint SET root = zeroblob(32) WHERE size = 300",
        "UPDATE checkpoint SET size = 301 WHERE size = 300",
        "DELETE FROM checkpoint",
    ):
        assert log.fault((query, ())).reason


def test_what_queries_filter_by_must_be_what_the_leaf_says(log: Log) -> None:
    for change in (
        "id = zeroblob(16)",
        "principal = 'key_2'",
        "request_id = NULL",
        "request_id = ''",
        "stream = 99",
    ):
        assert names(log.fault((f"UPDATE record SET {change} WHERE idx = 77", ())), 77)
    for change in (
        "kind = 'admin'",
        "outcome = 'refused'",
        "model = NULL",
        "version = 3",
        "lane = 'pinned'",
    ):
        assert names(log.fault((f"UPDATE stream SET {change}", ())), 0)


def test_a_payload_that_is_not_the_one_committed_to_is_found(log: Log) -> None:
    for change in (
        "salt = zeroblob(32)",
        "input = CAST(input || 'x' AS BLOB)",
        "output = x''",
        "input = x''",
        "idx = 2000",
    ):
        query = f"UPDATE payload SET {change} WHERE idx = 77"
        assert log.fault(("PRAGMA foreign_keys = OFF", ()), (query, ())).first in {77, 2000}
    assert log.fault(
        ("UPDATE payload SET idx = -idx WHERE idx IN (3, 4)", ()),
        ("UPDATE payload SET idx = 7 + idx WHERE idx IN (-3, -4)", ()),
    ).first == 3  # fmt: skip
    path = log.export / "payloads.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (
        [*lines[:77], lines[77].replace(b'"index": 77', b'"index": 78'), *lines[78:]],
        [lines[1], lines[0], *lines[2:]],
        [*lines[:77], b"{}\n", *lines[78:]],
        [*lines[:77], lines[78], *lines[78:]],
    ):
        assert log.fault_of(path, b"".join(changed)).reason


def test_a_tail_that_was_cut_is_found_by_a_saved_checkpoint(tmp_path: Path) -> None:
    store = write_log(tmp_path / "data", (300, 512))
    export_tiles(store, tmp_path / "older")
    older = store.checkpoint()
    store.close()
    shutil.copytree(tmp_path / "data", tmp_path / "cut")
    store = open_store(tmp_path / "data")
    extend(store, 600)
    saved = sign(store).encode()
    store.close()

    for source in (StoreSource(tmp_path / "cut"), ExportSource(tmp_path / "older")):
        # Its end may be anywhere: without a checkpoint from elsewhere nothing is wrong with it.
        assert check_log(source, TRUST).is_valid
    for source in (StoreSource(tmp_path / "cut"), ExportSource(tmp_path / "older")):
        fault = check_log(source, Trust(keys=TRUST.keys, saved=(saved,))).fault
        assert fault is not None
        assert (fault.first, fault.last) == (512, 599)
    assert older is not None
    trust = Trust(keys=TRUST.keys, saved=(older.note.encode(), saved))
    assert check_log(StoreSource(tmp_path / "data"), trust).checkpoints == 5


def rewrite(data_dir: Path, index: int, sizes: Sequence[int]) -> Store:
    """Write a log of one other record, as whoever holds the store and not the key could."""
    store = write_log(data_dir, ())
    for size in sizes:
        start = store.tree_size()
        entries = [make_entry(number) for number in range(start, size)]
        if start <= index < size:
            leaf = entries[index - start].leaf.replace(b'"answered"', b'"refused"')
            entries[index - start] = Entry(leaf, entries[index - start].payload)
        store.integrate("segment", start, size, entries)
        sign(store, OTHER)
    return store


def test_a_log_that_was_written_anew_does_not_have_the_signed_roots(tmp_path: Path) -> None:
    original = write_log(tmp_path / "original", (300, 600, 650))
    notes = {signed.size: signed.note for signed in original.checkpoints()}
    store = rewrite(tmp_path / "anew", 512, (300, 600, 650))
    with store.write() as tx:
        for size, note in notes.items():
            tx.amend_checkpoint(size, note)
    with closing(apsw.Connection(str(tmp_path / "anew" / "store.sqlite3"))) as connection:
        for signed in original.checkpoints():
            values = (signed.root, signed.size)
            connection.execute("UPDATE checkpoint SET root = ? WHERE size = ?", values)
    fault = check_log(StoreSource(tmp_path / "anew"), TRUST).fault
    assert fault is not None
    assert (fault.first, fault.last) == (300, 599)
    original.close()
    store.close()


def test_only_a_pinned_key_finds_a_log_that_was_signed_anew(tmp_path: Path) -> None:
    store = rewrite(tmp_path / "data", 5, (10,))
    with store.write() as tx:
        tx.add_origin(msgspec.structs.replace(tx.origins()[0], vkey=OTHER.verifier.write()))
    assert check_log(StoreSource(tmp_path / "data"), Trust()).is_valid
    fault = check_log(StoreSource(tmp_path / "data"), TRUST).fault
    assert fault is not None
    assert "no signature by a key that counts" in fault.reason
    store.close()


def removal(number: int, first: int, last: int, count: int) -> Entry:
    record = msgspec.json.decode(make_entry(number).leaf)
    told = {"kind": "removal", "action": "records.remove"}
    told |= {"first": first, "last": last, "count": count}
    return Entry(msgspec.json.encode(record | told), None)


def test_records_that_a_removal_tells_of_may_be_gone_and_no_others(tmp_path: Path) -> None:
    store = write_log(tmp_path / "data", (600,))
    path = tmp_path / "data" / "store.sqlite3"
    store.integrate("segment", 600, 601, [removal(600, 10, 300, 3)])
    store.integrate("segment", 601, 602, [removal(601, 200, 200, 1)])
    sign(store)

    def check(*gone: int) -> Report:
        with closing(apsw.Connection(str(path))) as connection:
            for index in gone:
                connection.execute("DELETE FROM payload WHERE idx = ?", (index,))
                connection.execute("DELETE FROM record WHERE idx = ?", (index,))
        export_tiles(store, tmp_path / "export")
        reports = [
            check_log(StoreSource(tmp_path / "data"), TRUST),
            check_log(ExportSource(tmp_path / "export"), TRUST),
        ]
        assert reports[0].fault == reports[1].fault
        return reports[0]

    store.integrate("segment", 602, 603, [removal(602, 400, 400, 1)])
    with pytest.raises(NotPublished, match="the newest removal"):
        export_tiles(store, tmp_path / "export")
    sign(store)
    report = check(10, 200, 299, 300)
    assert report.fault is None
    assert (report.gone, report.records) == (4, 599)
    assert check(400).gone == 5
    fault = check(11).fault
    assert fault is not None
    assert (fault.first, fault.last) == (10, 400)
    assert "6 records are missing" in fault.reason
    fault = check(9).fault
    assert fault is not None
    assert names(fault, 9)
    store.close()


def test_records_beyond_the_checkpoint_are_counted_and_checked(tmp_path: Path) -> None:
    store = write_log(tmp_path / "data", (300,))
    extend(store, 777)
    report = check_log(StoreSource(tmp_path / "data"), TRUST)
    assert report.fault is None
    assert (report.records, report.unsigned) == (777, 477)
    with closing(apsw.Connection(str(tmp_path / "data" / "store.sqlite3"))) as connection:
        connection.execute("UPDATE record SET leaf = CAST(leaf || ' ' AS BLOB) WHERE idx = 776")
    fault = check_log(StoreSource(tmp_path / "data"), TRUST).fault
    assert fault is not None
    assert names(fault, 776)
    store.close()


def test_an_export_is_carried_on_and_never_laid_over_another(tmp_path: Path) -> None:
    store = write_log(tmp_path / "data", (300,))
    target = tmp_path / "export"
    first = export_tiles(store, target, payloads=True)
    assert (first.size, export_tiles(store, target).written) == (300, 0)
    extend(store, 812)
    sign(store)
    (target / "tile" / "0" / "000").unlink()
    second = export_tiles(store, target)
    # The tile that was lost; three tiles and bundles that are new, level 1, and the checkpoint.
    assert (second.size, second.written) == (812, 9)
    assert check_log(ExportSource(target), TRUST).records == 812
    partial = sorted(str(path.relative_to(target)) for path in target.rglob("*.p/*"))
    assert partial == ["tile/0/003.p/44", "tile/1/000.p/3", "tile/entries/003.p/44"]
    for path in target.rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o700

    # Interrupted before its checkpoint, with a file half written.
    for name in ("checkpoint", "vkey", "tile/1/000.p/3", "tile/entries/001"):
        (target / name).unlink()
    (target / "tile" / "entries" / "002").write_bytes(b"")
    (target / ".payloads.ndjson.draft").write_bytes(b"{")
    assert export_tiles(store, target, payloads=True).written == 6
    report = check_log(ExportSource(target), TRUST)
    assert (report.fault, report.records, report.payloads) == (None, 812, 812)
    assert not list(target.rglob(".*"))

    other = rewrite(tmp_path / "other", 5, (900,))
    with pytest.raises(Conflict, match="does not continue"):
        export_tiles(other, target)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").touch()
    with pytest.raises(Conflict, match="something else"):
        export_tiles(store, tmp_path / "home")
    other.close()
    store.close()


def test_an_export_is_whole_where_a_signed_log_is(log: Log) -> None:
    assert SIGNER.verifier.write() == (log.export / "vkey").read_text().strip()
    report = log.check_export(Trust())
    assert report.is_valid
    assert report.checkpoint is not None
    assert report.checkpoint.size == SIZE
