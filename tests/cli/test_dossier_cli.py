"""`gateway audit dossier`: one decision written to one file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.replay.engines import Sessions
from registry.records import Kind, RecordFilter
from registry.registry import Registry
from tests.builders import linear_model, publish
from tests.recorded import answered, keep

Run = Callable[..., Result]


@pytest.fixture
def record_id(registry: Registry) -> Iterator[str]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    record, payload = answered(publish(registry, "sum", linear_model()), engine)
    keep(registry, (record, payload))
    yield record.id
    engine.close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        command = ["audit", "dossier", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(main, command)

    return invoke


def test_a_page_or_its_json_is_written(run: Run, record_id: str, tmp_path: Path) -> None:
    page, data = tmp_path / "dossier.html", tmp_path / "dossier.json"

    written = [
        run(record_id, "--to", str(page)),
        run(record_id, "--to", str(data), "--format", "json", "--replay"),
    ]

    assert [one.exit_code for one in written] == [0, 0], written
    assert "Answered by version 1 of sum." in written[0].output
    assert page.read_text().startswith("<!doctype html>")
    dossier = json.loads(data.read_text())
    assert dossier["record_id"] == record_id
    assert dossier["replay"]["result"] == "identical"


def test_a_replay_for_a_dossier_is_recorded_too(
    run: Run, record_id: str, tmp_path: Path, registry: Registry
) -> None:
    run(record_id, "--to", str(tmp_path / "dossier.html"), "--replay")

    assert len(registry.store.records(RecordFilter(kind=Kind.REPLAY), before=None, limit=9)) == 1


def test_what_cannot_be_written_or_found_is_said_in_a_line(
    run: Run, record_id: str, tmp_path: Path
) -> None:
    nowhere = run(record_id, "--to", str(tmp_path / "none" / "dossier.html"))
    unknown = run("01900000-0000-7000-8000-000000000000", "--to", str(tmp_path / "x.html"))

    for result, words in ((nowhere, "cannot be written"), (unknown, "no record")):
        assert result.exit_code == 1
        assert words in result.stderr
    assert not (tmp_path / "x.html").exists()
