"""The commands of `gateway audit` that ask the log: what they show, and that they are recorded."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from registry.console import local_author
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
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
