"""`gateway contract rehearse`: what rules would have done to what was recorded."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.replay.engines import Sessions
from registry.entry import Payload, decode_record
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from registry.times import now
from registry.versions import Version
from tests.builders import linear_model, publish
from tests.recorded import answered, keep, refused

Run = Callable[..., Result]

PRESENT = Draft(
    contract=Contract(
        rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=0, low=0),)
    )
)
REHEARSED = """\
warm_up_s = 600

[[rules]]
input = "x"
column = 0
kind = "range"
low = -10
action = "reject"

[[rules]]
input = "x"
column = 1
kind = "range"
high = 100
action = "clip"

[[rules]]
input = "x"
kind = "integer"
action = "flag"

[[outputs]]
output = "y"
kind = "range"
high = 10
action = "observe"
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*arguments: str, rules: str = REHEARSED) -> Result:
        path = tmp_path / "rules.toml"
        path.write_text(rules)
        command = ["contract", "rehearse", "--model", "m", "--contract", str(path), *arguments]
        return CliRunner().invoke(main, [*command, "--data-dir", str(tmp_path)])

    return invoke


@pytest.fixture
def engine(registry: Registry) -> Iterator[Sessions]:
    engine = Sessions(registry.artifacts, deadline_s=2)
    yield engine
    engine.close()


def told(
    version: Version, engine: Sessions, *row: float, **changes: object
) -> tuple[AuditRecord, Payload | None]:
    record, payload = answered(version, engine, {"x": np.array([row], np.float32)})
    return msgspec.structs.replace(record, **changes), payload


def test_a_contract_is_shown_beside_what_was_done(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model(), PRESENT)
    record, payload = refused(version, {"x": np.array([[-5, 0, 0]], np.float32)})
    was_refused = msgspec.structs.replace(record, violations=("range x[0,0]",))
    far, _ = pair = told(version, engine, 1, 200, 3)
    keep(
        registry,
        told(version, engine, 1, 2, 3),
        told(version, engine, -20, 2, 3, observed=("range x[0,0] (would reject)",)),
        told(version, engine, 1.5, 2, 3, flags=("range x[0]",)),
        pair,
        (was_refused, payload),
    )

    result = run("--json")

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["records"], found["judged"], found["unjudged"]) == (5, 5, {})
    assert (found["refused"], found["refused_then"]) == (1, 1)
    lines = {(one["effect"], one["rule"]): one["records"] for one in found["rehearsed"]}
    assert lines == {
        ("rejected", "range x"): 1,
        ("repaired", "range x"): 1,
        ("flagged", "integer x"): 1,
        ("observed", "range y"): 1,
    }
    then = {(one["effect"], one["rule"]): one["examples"] for one in found["recorded"]}
    assert then["rejected", "range x"] == [was_refused.id]
    assert set(then) == {
        ("rejected", "range x"), ("would-reject", "range x"), ("flagged", "range x"),
    }  # fmt: skip
    shown = run().stdout
    for said in ("5 of 5 requests", "Refused: 1 by these rules, 1 as recorded", far.id, "repaired"):
        assert said in shown


def test_what_cannot_be_judged_is_counted_by_reason(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    other = publish(registry, "m", linear_model(columns=4), promote=False)
    reduced = told(version, engine, 1, 2, 3, reduced=("x:drop",))
    empty, _ = told(version, engine, 1, 2, 3)
    digest, _ = told(version, engine, 1, 2, 3, payload="digest")
    forged, payload = told(version, engine, 1, 2, 3, input="0" * 64)
    keep(
        registry,
        told(version, engine, 1, 2, 3),
        (digest, Payload(b"s" * 32, None, None)),
        (empty, None),
        reduced,
        (forged, payload),
        told(other, engine, 1, 2, 3, 4),
    )

    found = json.loads(run("--json").stdout)

    assert (found["records"], found["judged"]) == (6, 1)
    assert found["unjudged"] == {"digest": 1, "payload": 2, "commitment": 1, "signature": 1}
    assert "Not judged, digest: 1." in run().stdout


def test_a_rehearsal_is_of_the_time_and_the_version_asked_for_and_is_recorded(
    registry: Registry, engine: Sessions, run: Run
) -> None:
    version = publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(columns=4), promote=False)
    keep(registry, *(told(version, engine, 1, 2, 3) for _ in range(3)))
    later = (now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")

    assert json.loads(run("--json", "--from", later).stdout)["records"] == 0
    assert json.loads(run("--json", "--to", later).stdout)["judged"] == 3
    assert json.loads(run("--json", "--version", "2").stdout)["unjudged"] == {"signature": 3}
    reads = registry.store.records(RecordFilter(kind=Kind.READ), before=None, limit=9)
    [last, *_] = [decode_record(leaf) for _, leaf in reads]
    assert (last.action, last.rows) == ("gateway contract rehearse", 0)
    assert "version=2" in (last.subject or "")


def test_rules_that_do_not_fit_are_refused_with_their_line(registry: Registry, run: Run) -> None:
    publish(registry, "m", linear_model())

    result = run(rules='[[rules]]\ninput = "x"\ncolumn = 7\nkind = "missing"\naction = "flag"\n')

    assert result.exit_code == 1
    assert "rules.toml, line 3: missing: input 'x' has no column 7" in result.stderr
    assert "no model 'm2'" in run("--model", "m2").stderr
