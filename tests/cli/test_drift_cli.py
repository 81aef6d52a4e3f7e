"""Drift policies and findings of a data directory, from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import gateway.cli
import registry.cli
from registry import drift
from registry.drift_policy import DriftAction, DriftPolicy
from registry.registry import Registry
from registry.times import now
from tests.builders import AUTHOR, linear_model, publish
from tests.counted import let_come, normal, publish_watched
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


def test_drift_is_shown_and_written_as_a_page(registry: Registry, tmp_path: Path) -> None:
    let_come(registry, publish_watched(registry), normal(300, 3) + np.float32(1), now())
    page = tmp_path / "drift.html"

    shown = run(tmp_path, "drift", "sum", "--window", "1h", "--html", str(page))

    assert shown.exit_code == 0, shown.output
    assert "5 of 5 features differ materially from training" in shown.output
    assert all(name in shown.output for name in ("x[0]", "x[1]", "x[2]", "joint distance"))
    assert "material" in shown.output
    assert page.read_text().startswith("<!doctype html>")


def test_drift_of_a_version_or_lane_that_nothing_met_is_said_to_be_none(
    registry: Registry, tmp_path: Path
) -> None:
    let_come(registry, publish_watched(registry), normal(300, 3), now())
    publish_watched(registry, weight=2.0)

    rows = [
        run(tmp_path, "drift", "sum", *options).output
        for options in ((), ("--version", "1"), ("--version", "1", "--lane", "pinned"))
    ]

    assert ["Nothing came in this time." in one for one in rows] == [True, False, True]


def test_drift_that_cannot_be_shown_or_written_is_said_in_a_line(
    registry: Registry, tmp_path: Path
) -> None:
    publish_watched(registry)

    wrong = [
        run(tmp_path, "drift", *arguments)
        for arguments in (
            ("other",), ("sum", "--window", "1y"), ("sum", "--version", "9"),
            ("sum", "--html", str(tmp_path / "none" / "drift.html")),
        )
    ]  # fmt: skip

    assert [one.exit_code for one in wrong] == [1, 1, 1, 1]
    words = ("no model 'other'", "as in 90m, 24h or 30d", "no version 9", "cannot be written")
    for result, said in zip(wrong, words, strict=True):
        assert said in result.stderr


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
