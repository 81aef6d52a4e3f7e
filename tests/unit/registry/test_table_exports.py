"""An export is one state of the log, whole, in its exact bytes, and can be checked by itself."""

import csv
import io
import json
import random
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from registry.audit import export_forms
from registry.audit.export import Export, open_export
from registry.audit.export_forms import Format, writer_of
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.audit.published import PublishedLog
from registry.audit.publisher import Publisher
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.errors import InvalidRequest, NotPublished
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.store import Store, open_store
from registry.tlog.note import Checkpoint

ANY = RecordFilter()
START = datetime(2026, 3, 1, tzinfo=UTC)
COUNT = 2_700
HOSTILE = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1",
           'a "quoted", one', "ü\n\x00", "'=1", "{}", "")  # fmt: skip


def make_entries(seed: int, count: int) -> list[Entry]:
    rng = random.Random(seed)
    entries = []
    for number in range(count):
        moment = START + timedelta(milliseconds=rng.randrange(10**7))
        time_ns = int(moment.timestamp() * 1000) * 1_000_000 + number
        record = AuditRecord(
            id=new_record_id(time_ns),
            time=str(time_ns),
            kind=Kind.INFERENCE,
            outcome=rng.choice((Outcome.ANSWERED, Outcome.REFUSED)),
            model=rng.choice(("flights", "linear")),
            version=rng.choice((None, 1, 2)),
            request_id=rng.choice(HOSTILE),
            violations=rng.choice(((), ("range x[0]", "missing y"))),
        )
        entries.append(Entry(encode_record(record), None))
    return entries


class World:
    """A store with records, all of them published."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(folder)
        keys = KeyFile(folder / "log.key")
        path = folder / "checkpoint"
        open_log(self.store, keys, path, name="gateway.example/log", at=START)
        self.publisher = Publisher(self.store, keys, path)
        self.log = PublishedLog(self.store, path)

    def add(self, seed: int, count: int) -> None:
        self.store.integrate(f"{seed}.segment", 0, 1, make_entries(seed, count))

    def export(self, wanted: RecordFilter = ANY, *, proofs: bool = False) -> Export:
        return open_export(self.store, self.log, wanted, proofs=proofs)

    def stored(self, wanted: RecordFilter = ANY) -> list[tuple[int, bytes]]:
        return self.store.records(wanted, before=None, limit=100_000)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.add(1, COUNT)
    world.publisher.publish()
    yield world
    world.store.close()


Row = tuple[int, bytes, list[bytes] | None]


def read_ndjson(data: bytes) -> list[Row]:
    rows: list[Row] = []
    for line in data.splitlines()[:-1]:
        parsed = json.loads(line)
        leaf = line[line.index(b'"record":') + 9 : -1]
        assert json.loads(leaf) == parsed["record"]
        proof = [b64decode(one) for one in parsed["proof"]] if "proof" in parsed else None
        rows.append((parsed["index"], leaf, proof))
    return rows


def read_csv(data: bytes) -> list[Row]:
    return [
        (
            int(row["index"]),
            row["leaf"].encode(),
            [b64decode(one) for one in row["proof"].split()] if "proof" in row else None,
        )
        for row in csv.DictReader(io.StringIO(data.decode(), newline=""))
    ]


def read_parquet(data: bytes) -> list[Row]:
    table = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    return [(row["index"], row["leaf"], row.get("proof")) for row in table]


READERS = {Format.NDJSON: read_ndjson, Format.CSV: read_csv, Format.PARQUET: read_parquet}


def written(export: Export, form: Format) -> bytes:
    return b"".join(writer_of(form)(export))


def root_of(hashes: list[bytes]) -> bytes:
    """Hash a list of leaves into the root of their tree (RFC 6962, section 2.1)."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01" + root_of(hashes[:split]) + root_of(hashes[split:])).digest()


def root_by_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """Climb from a leaf to the root as RFC 9162, section 2.1.3.2, says."""
    found, node, last = sha256(b"\x00" + leaf).digest(), index, size - 1
    for sibling in proof:
        assert last > 0
        if node & 1 or node == last:
            found = sha256(b"\x01" + sibling + found).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + sibling).digest()
        node, last = node >> 1, last >> 1
    assert last == 0
    return found


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("proofs", [False, True])
@pytest.mark.parametrize(
    "wanted", [ANY, RecordFilter(model="flights", outcome=Outcome.REFUSED)], ids=["all", "some"]
)
def test_every_format_has_the_exact_bytes_of_what_fits_newest_first(
    world: World, form: Format, proofs: bool, wanted: RecordFilter
) -> None:
    rows = READERS[form](written(world.export(wanted, proofs=proofs), form))

    assert [(index, leaf) for index, leaf, _ in rows] == world.stored(wanted)
    assert len(rows) > 300
    assert all((proof is not None) == proofs for _, _, proof in rows)


@pytest.mark.parametrize("form", Format)
def test_a_whole_export_gives_the_signed_root_again(world: World, form: Format) -> None:
    checkpoint = Checkpoint.read(world.log.note())
    rows = READERS[form](written(world.export(), form))

    leaves = [leaf for _, leaf, _ in sorted(rows, key=lambda row: row[0])]

    assert len(leaves) == checkpoint.size
    assert root_of([sha256(b"\x00" + leaf).digest() for leaf in leaves]) == checkpoint.root


@pytest.mark.parametrize("form", Format)
def test_each_record_of_a_part_is_proved_by_itself(world: World, form: Format) -> None:
    checkpoint = Checkpoint.read(world.log.note())
    wanted = RecordFilter(model="linear", version=2)

    rows = READERS[form](written(world.export(wanted, proofs=True), form))

    assert len(rows) > 300
    for index, leaf, proof in rows:
        assert proof is not None
        assert root_by_proof(leaf, index, checkpoint.size, proof) == checkpoint.root


def test_an_export_is_of_the_state_at_its_beginning_whatever_is_written_meanwhile(
    world: World,
) -> None:
    before = world.stored()
    export = world.export(proofs=True)
    pages = export.pages()
    found = next(pages)
    for seed in (2, 3, 4):
        world.add(seed, 500)
        world.publisher.publish()
        found += next(pages, [])
    found += [one for page in pages for one in page]

    assert [(one.index, one.leaf) for one in found] == before
    for one in found:
        assert one.proof is not None
        root = root_by_proof(one.leaf, one.index, export.size, one.proof)
        assert root == Checkpoint.read(export.note).root


def test_what_is_not_published_is_not_exported(world: World, tmp_path: Path) -> None:
    before = world.stored()
    world.add(5, 300)

    assert [(one.index, one.leaf) for page in world.export().pages() for one in page] == before

    (tmp_path / "checkpoint").unlink()
    with pytest.raises(NotPublished):
        world.export()


def test_no_more_than_a_page_is_read_ahead(world: World) -> None:
    asked: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

        def records(self, wanted: RecordFilter, *, before: str | None, limit: int) -> Any:
            asked.append(limit)
            return world.store.records(wanted, before=before, limit=limit)

    export = open_export(Counting(), world.log, ANY, proofs=False)  # type: ignore[arg-type]
    for form in Format:
        asked.clear()
        parts = writer_of(form)(export)
        next(parts)
        assert len(asked) <= 1, form
        sizes = [len(part) for part in parts]
        assert len(sizes) >= 3, form
        assert max(asked) == 1_000


def test_the_last_line_says_what_was_exported(world: World) -> None:
    wanted = RecordFilter(model="flights")
    end = json.loads(written(world.export(wanted), Format.NDJSON).splitlines()[-1])

    assert end == {
        "records": len(world.stored(wanted)),
        "size": len(world.stored()),
        "checkpoint": world.log.note(),
    }


def test_a_parquet_file_says_itself_what_it_covers(world: World) -> None:
    file = pyarrow.parquet.ParquetFile(io.BytesIO(written(world.export(), Format.PARQUET)))

    metadata = file.schema_arrow.metadata
    assert metadata[b"size"] == str(len(world.stored())).encode()
    assert metadata[b"checkpoint"] == world.log.note().encode()
    row = next(row for row in file.read().to_pylist() if row["violations"])
    record = decode_record(row["leaf"])
    assert row["violations"] == list(record.violations)
    assert row["version"] == record.version
    assert int(row["at"].timestamp() * 1e6) == int(record.time) // 1000


def test_no_cell_of_a_spreadsheet_is_a_formula(world: World) -> None:
    data = written(world.export(proofs=True), Format.CSV)
    seen = set()
    for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
                       for name, cell in row.items() if name != "proof")  # fmt: skip
        seen.add(row["request_id"])
        if row["request_id"].startswith("'"):
            given = decode_record(row["leaf"].encode()).request_id
            assert given in {row["request_id"], row["request_id"][1:]}

    assert {f"'{text}" for text in HOSTILE[:7]} <= seen
    assert set(HOSTILE[7:]) <= seen


def test_a_format_whose_library_is_missing_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(export_forms.importlib, "import_module", fail)

    with pytest.raises(InvalidRequest, match=r"governed-gateway\[publish\]"):
        writer_of(Format.PARQUET)
