"""The commands of `gateway audit` that ask the log: what they show, and that they are recorded."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from registry.console import local_author
from registry.entry import decode_record
from registry.records import Kind, RecordFilter
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
