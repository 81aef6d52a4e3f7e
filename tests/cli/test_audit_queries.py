"""The commands of `gateway audit` that ask the log: what they show, and that they are recorded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from registry.audit.export_forms import Format
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.audit.publisher import Publisher
from registry.console import local_author
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.times import now
from tests.builders import linear_model, open_registry, publish

Run = Callable[..., Result]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder with one published model."""
    registry = open_registry(tmp_path / "data")
    publish(registry, "linear", linear_model())
    registry.store.close()
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--data-dir", str(data_dir)])

    return invoke


def test_a_read_on_the_machine_itself_is_recorded_with_what_was_asked(
    data_dir: Path, run: Run
) -> None:
    options = ("--model", "linear", "--from", "2026-01-01", "--to", "2100-01-01T00:00+01:00")
    assert run("audit", "records", *options, "--limit", "3").exit_code == 0

    registry = open_registry(data_dir)
    [(_, leaf)] = registry.store.records(RecordFilter(kind=Kind.READ), before=None, limit=9)
    registry.store.close()
    read = decode_record(leaf)
    assert read.action == "gateway audit records"
    assert read.subject is not None
    assert parse_qs(read.subject) == {
        "model": ["linear"],
        "from": ["2026-01-01T00:00:00+00:00"],
        "to": ["2099-12-31T23:00:00+00:00"],
        "limit": ["3"],
    }
    assert read.principal == local_author().principal


def test_a_time_that_is_none_is_refused(data_dir: Path, run: Run) -> None:
    result = run("audit", "records", "--from", "yesterday")

    assert result.exit_code == 2
    assert "--from" in result.output


def test_a_summary_counts_what_happened_and_draws_it(data_dir: Path, run: Run) -> None:
    registry = open_registry(data_dir)
    entries = [make_entry(refused=False) for _ in range(40)] + [make_entry(refused=True)]
    registry.store.integrate("one.segment", 0, 1, entries)
    registry.store.close()

    result = run("audit", "summary", "--by", "hour", "--model", "linear", "--from", "2026-03-01",
                 "--to", "2026-03-01T02:00")  # fmt: skip

    assert result.exit_code == 0
    [answered, refused] = [
        line for line in result.stdout.splitlines() if "2026-03-01 01:00" in line
    ]
    for part in ("linear 1", "champion", "answered", " 40 ", "▇" * 20):
        assert part in answered
    for part in ("refused", " 1 ", "range 1, range x 1"):
        assert part in refused
    assert refused.count("▇") == 1


def test_a_summary_of_too_many_periods_is_refused_in_one_line(run: Run) -> None:
    result = run("audit", "summary", "--by", "hour", "--from", "2020-01-01")

    assert result.exit_code == 1
    assert "1,000 periods" in result.stderr


def make_entry(*, refused: bool) -> Entry:
    time_ns = int(datetime(2026, 3, 1, 1, 30, tzinfo=UTC).timestamp()) * 10**9
    record = AuditRecord(
        id=new_record_id(time_ns),
        time=str(time_ns),
        kind=Kind.INFERENCE,
        outcome=Outcome.REFUSED if refused else Outcome.ANSWERED,
        model="linear",
        version=1,
        lane="champion",
        error="range" if refused else None,
        violations=("range x[0]", "range x[5]") if refused else (),
    )
    return Entry(encode_record(record), None)


@pytest.fixture
def published(data_dir: Path) -> Path:
    """The data directory, with its whole log under a checkpoint."""
    registry = open_registry(data_dir)
    keys, path = KeyFile(data_dir / "log.key"), data_dir / "checkpoint"
    open_log(registry.store, keys, path, name="gateway.example/log", at=now())
    registry.store.integrate("one.segment", 0, 1, [make_entry(refused=True) for _ in range(5)])
    Publisher(registry.store, keys, path).publish()
    registry.store.close()
    return data_dir


@pytest.mark.parametrize("form", Format)
def test_an_export_is_a_file_and_a_manifest_for_its_owner_alone(
    published: Path, run: Run, tmp_path: Path, form: Format
) -> None:
    target = tmp_path / f"refused.{form}"
    options = ("--format", form, "--to", str(target), "--model", "linear", "--before", "2026-04-01")
    result = run("audit", "export", *options, "--proofs")

    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / f"refused.{form}.manifest.json").read_text())
    assert manifest["digest"] == f"sha256:{sha256(target.read_bytes()).hexdigest()}"
    assert parse_qs(manifest["filters"]) == {
        "model": ["linear"],
        "to": ["2026-04-01T00:00:00+00:00"],
    }
    assert manifest["checkpoint"] == (published / "checkpoint").read_text()
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_bytes().count(b"range x[5]") >= 5 or form is Format.PARQUET
    registry = open_registry(published)
    [(_, leaf)] = registry.store.records(RecordFilter(kind=Kind.READ), before=None, limit=9)
    registry.store.close()
    assert decode_record(leaf).action == "gateway audit export"


def test_an_export_that_cannot_be_written_is_one_line(
    published: Path, run: Run, tmp_path: Path
) -> None:
    result = run("audit", "export", "--format", "csv", "--to", str(tmp_path / "no" / "file"))

    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_log_that_was_never_published_is_not_exported(run: Run, tmp_path: Path) -> None:
    result = run("audit", "export", "--format", "csv", "--to", str(tmp_path / "file"))

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "file").exists()
