"""`gateway audit replay`: many records, one summary, and a status that says if all is well."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import apsw
import numpy as np
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.replay.engines import Sessions
from registry.entry import decode_record
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.times import now
from tests.builders import linear_model, publish
from tests.recorded import X, answered, keep, refused

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*arguments: str) -> Result:
        command = ["audit", "replay", "--model", "m", *arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(main, command)

    return invoke


@pytest.fixture
def engine(registry: Registry) -> Iterator[Sessions]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield engine
    engine.close()


def recorded_replay(registry: Registry) -> AuditRecord:
    [(_, leaf)] = registry.store.records(RecordFilter(kind=Kind.REPLAY), before=None, limit=2)
    return decode_record(leaf)


def test_answers_that_are_found_again_end_well(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    keep(registry, *(answered(version, engine) for _ in range(3)), refused(version))

    result = run("--json")

    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary == {
        "records": 4,
        "results": {"identical": 3, "not_comparable": 1},
        "reasons": {"outcome": 1},
        "changed_labels": 0,
        "worst": [],
        "is_clean": True,
    }
    record = recorded_replay(registry)
    assert (record.model, record.action) == ("m", "replay")
    assert record.reason == "3 identical, 1 not_comparable"
    assert record.principal is not None
    assert record.principal.startswith("local:")


def test_an_answer_that_differs_is_named_and_ends_with_status_1(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    wrong, _ = pair = answered(version, engine, X, {"y": np.array([[6], [99]], np.float32)})
    keep(registry, answered(version, engine), pair)

    result = run()

    assert result.exit_code == 1
    assert wrong.id in result.output
    for said in ("different", "identical", "1 of 2", "84.0"):
        assert said in result.output


def test_a_changed_payload_ends_with_status_1(
    registry: Registry, engine: Sessions, run: Run, tmp_path: Path
) -> None:
    keep(registry, answered(publish(registry, "m", linear_model()), engine))
    with apsw.Connection(str(tmp_path / "store.sqlite3")) as connection:
        connection.execute("UPDATE payload SET salt = zeroblob(32)")

    result = run("--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["reasons"] == {"commitment": 1}


def test_another_version_that_differs_is_no_fault(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(2.0))
    keep(registry, *(answered(version, engine) for _ in range(12)))

    result = run("--version", "2", "--json")

    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["results"] == {"differs": 12}
    assert len(summary["worst"]) == 10
    assert summary["worst"][0]["distance"]["max_absolute"] == 15.0
    assert recorded_replay(registry).version == 2


def test_only_records_of_the_time_asked_for_are_replayed(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    keep(registry, *(answered(version, engine) for _ in range(3)))
    later = (now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")

    assert json.loads(run("--json", "--from", later).stdout)["records"] == 0
    assert json.loads(run("--json", "--to", later, "--limit", "2").stdout)["records"] == 2


def test_a_model_or_version_that_does_not_exist_is_named(registry: Registry, run: Run) -> None:
    missing = run()
    publish(registry, "m", linear_model())
    no_version = run("--version", "7")

    assert (missing.exit_code, no_version.exit_code) == (1, 1)
    assert "no model 'm'" in missing.stderr
    assert "no version 7" in no_version.stderr
