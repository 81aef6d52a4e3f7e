"""Drift policies and findings of a data directory, from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli
import registry.cli
from registry import drift
from registry.drift_policy import DriftAction, DriftPolicy
from registry.registry import Registry
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.registry.test_drift_policies import find


@pytest.fixture
def watched(registry: Registry) -> Registry:
    """A registry whose model `sum` has a champion, version 1, and a version 2."""
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0), promote=False)
    return registry


def run(data_dir: Path, *arguments: str, stdin: str | None = None) -> Result:
    command, *rest = arguments
    options = ["--data-dir", str(data_dir)]
    return CliRunner().invoke(gateway.cli.main, [command, *options, *rest], input=stdin)


def test_a_policy_is_set_and_shown_in_full(watched: Registry, tmp_path: Path) -> None:
    given = json.dumps({"action": "hold_promotion", "tolerance": 0.05})
    assert run(tmp_path, "drift-policy", "sum", "--set", "-", stdin=given).exit_code == 0

    shown = json.loads(run(tmp_path, "drift-policy", "sum").output)

    assert shown == {
        "tolerance": 0.05, "false_alarm_days": 90.0, "look_s": 60.0, "least_rows": 250,
        "action": "hold_promotion", "features": {},
    }  # fmt: skip


@pytest.mark.parametrize("given", ["{", '{"tau": 1}', '{"tolerance": 7}'])
def test_what_is_no_policy_is_refused(watched: Registry, tmp_path: Path, given: str) -> None:
    result = run(tmp_path, "drift-policy", "sum", "--set", "-", stdin=given)

    assert result.exit_code == 1
    assert result.output.startswith("Error: This ")
    assert watched.store.settings() == []


def test_findings_are_listed_and_closed(watched: Registry, tmp_path: Path) -> None:
    found = find(watched)
    listed = run(tmp_path, "findings", "sum").output
    assert all(text in listed for text in (found.id, "x[0]", "missing", "20.0%", "open"))

    closing = ("--close", found.id, "--reason", "a campaign")
    assert "closed" in run(tmp_path, "findings", "sum", *closing).output

    assert run(tmp_path, "findings", "sum", *closing).exit_code == 1
    assert run(tmp_path, "findings", "sum", "--close", found.id).exit_code == 2
    assert run(tmp_path, "findings", "other").exit_code == 1


def test_a_held_promotion_goes_on_by_force_alone(watched: Registry, tmp_path: Path) -> None:
    policy = DriftPolicy(action=DriftAction.HOLD_PROMOTION)
    drift.set_drift_policy(watched, "sum", policy, AUTHOR)
    find(watched)
    command = ["promote", "sum", "2", "--data-dir", str(tmp_path), "--reason", "better"]

    held = CliRunner().invoke(registry.cli.main, command)
    assert held.exit_code == 1
    assert "x[0]: missing" in held.output
    assert CliRunner().invoke(registry.cli.main, [*command, "--by-force"]).exit_code == 0
    assert watched.store.aliases("sum") == {"champion": 2}
