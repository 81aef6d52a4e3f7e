"""Rollouts of a data directory, from the command line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli
from gateway.metrics.counters import Metrics
from gateway.metrics.slots import Slots, encode_snapshot
from gateway.settings import Settings
from registry import rolling_out
from registry.events import EventType
from registry.promoting import ask_for_rollout, set_promotion_policy
from registry.promotion_policy import PromotionPolicy, RolloutNeed
from registry.registry import Registry
from registry.rollouts import Phase, Verdict
from tests.builders import AUTHOR
from tests.rolled import add_version, assess
from tests.unit.registry.promotable import ROLES
from tests.unit.registry.test_announcing import tell, told

PLAN = """\
challenger = 2
steps = [{points = 100, min_requests = 10, min_s = 0}, {points = 2_500}]

[[guards]]
kind = "errors"
margin = 2

[[guards]]
kind = "score"
margin = 0.5
"""
LATENCY = '\n[[guards]]\nkind = "latency"\nmargin = 1.5\nquantile = 0.5\n'


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry whose model `sum` has a champion, version 1, and a version 2."""
    for _ in range(2):
        add_version(registry, "sum")
    registry.promote("sum", 1, "for a test", AUTHOR)
    return registry


def run(data_dir: Path, command: str, *arguments: str) -> Result:
    options = ["rollout", command, "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(gateway.cli.main, options)


def start(data_dir: Path, text: str = PLAN) -> Result:
    path = data_dir / "plan.toml"
    path.write_text(text)
    return run(data_dir, "start", "sum", "--plan", str(path), "--reason", "it was trained on more")


def test_a_rollout_is_started_shown_paused_resumed_and_aborted(
    filled: Registry, tmp_path: Path
) -> None:
    started = start(tmp_path)
    assert started.exit_code == 0, started.output
    assert "in step 1 of 2 (1 %)" in started.stderr
    rollout_id = started.stdout.strip()

    for verb, shown in (
        ("pause", "is paused"),
        ("resume", "goes on in step 1 of 2 (1 %)"),
        ("abort", "is aborted; champion 1 answers everybody"),
    ):
        done = run(tmp_path, verb, rollout_id, "--reason", f"to {verb}")
        assert done.exit_code == 0, done.output
        assert shown in done.output

    listed = run(tmp_path, "list", "sum").output
    assert listed == run(tmp_path, "list").output
    assert all(text in listed for text in (rollout_id, "aborted", "step 1 of 2 (1 %)"))
    page = run(tmp_path, "show", rollout_id).output
    assert "Version 2 of sum against champion 1: aborted" in page
    assert all(f"to {verb}" in page for verb in ("pause", "resume", "abort"))
    shown = json.loads(run(tmp_path, "show", rollout_id, "--json").output)
    assert shown["rollout"]["phase"] == "aborted"
    assert [one["action"] for one in shown["changes"]] == ["start", "pause", "resume", "abort"]


def test_the_evidence_of_the_last_decision_is_shown(filled: Registry, tmp_path: Path) -> None:
    rollout = rolling_out.find_rollout(filled.store, start(tmp_path).stdout.strip())
    rollout = rolling_out.advance(filled, rollout.id, assess(rollout), AUTHOR)
    evidence = assess(rollout, Verdict.WORSE)
    rolling_out.roll_back(filled, rollout.id, "errors: worse", AUTHOR, evidence)

    page = run(tmp_path, "show", rollout.id).output

    assert "Evidence of the last decision: worse in stage 1" in page
    assert all(text in page for text in ("e^-1.50", "e^4.25", "3 · 30", "9,000", "y"))


def test_one_that_has_passed_says_what_its_promotion_waits_for(
    filled: Registry, tmp_path: Path
) -> None:
    rollout = rolling_out.find_rollout(filled.store, start(tmp_path).stdout.strip())
    asks = PromotionPolicy(rollout=RolloutNeed(shadow_requests=500))
    set_promotion_policy(filled, "sum", asks, ROLES, AUTHOR)
    for _ in rollout.plan.stages:
        at = rollout.entered + timedelta(hours=1)
        rollout = rolling_out.advance(filled, rollout.id, assess(rollout, at=at), AUTHOR)

    held = run(tmp_path, "show", rollout.id).output
    set_promotion_policy(filled, "sum", PromotionPolicy(second_person=True), ROLES, AUTHOR)
    alone = run(tmp_path, "show", rollout.id).output
    asked = ask_for_rollout(filled, rollout.id, "it has passed")
    waiting = run(tmp_path, "show", rollout.id).output

    assert "Its promotion waits for at least 500 shadow requests (0 came)." in held
    assert "Its promotion waits for the approval of another person" in alone
    assert f"Another person is to decide: gateway promotions show {asked.id}" in waiting


def test_what_somebody_wrote_cannot_steer_the_terminal(filled: Registry, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    started = run(tmp_path, "start", "sum", "--plan", str(plan), "--reason", "\x1b[2Jnothing new")

    shown = run(tmp_path, "show", started.stdout.strip()).output

    assert "\x1b" not in shown
    assert r"\x1b[2Jnothing new" in shown


def test_a_shadow_is_called_so_once(filled: Registry, tmp_path: Path) -> None:
    plan = "shadow = {points = 5_000}\nsteps = []\n" + PLAN.replace("steps", "#")
    rollout_id = start(tmp_path, plan).stdout.strip()

    assert "against champion 1: shadow (50 %).\n" in run(tmp_path, "show", rollout_id).output
    run(tmp_path, "pause", rollout_id, "--reason", "to look")
    assert "against champion 1: shadow (50 %), paused." in run(tmp_path, "show", rollout_id).output


def test_a_paused_rollout_is_listed_as_one(filled: Registry, tmp_path: Path) -> None:
    run(tmp_path, "pause", start(tmp_path).stdout.strip(), "--reason", "to look")
    assert "canary, paused" in run(tmp_path, "list").output


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('kind = "score"', 'kind = "speed"', "plan.toml, line 9: there is no guard 'speed'"),
        ("margin = 0.5", 'margin = 0.5\noutput = "z"', "plan.toml, line 11: score: there is no"),
        ("challenger = 2", "challenger = 7", "plan.toml, line 1: Model 'sum' has no version 7."),
        ("challenger = 2", "challenger = 1", "plan.toml, line 1: Version 1 of 'sum' is the champ"),
        ("points = 2_500", "points = 50", "plan.toml, line 2: a share does not fall"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused_with_its_line(
    filled: Registry, tmp_path: Path, old: str, new: str, fault: str
) -> None:
    done = start(tmp_path, PLAN.replace(old, new))
    assert done.exit_code == 1
    assert fault in done.output
    assert filled.store.rollouts() == []


def test_a_second_rollout_of_a_challenger_is_refused_with_the_line(
    filled: Registry, tmp_path: Path
) -> None:
    first = start(tmp_path).stdout.strip()
    again = start(tmp_path)
    assert again.exit_code == 1
    assert "plan.toml, line 1:" in again.output
    assert first in again.output


def test_the_latency_of_the_champion_is_read_from_what_workers_measured(
    filled: Registry, tmp_path: Path
) -> None:
    refused = start(tmp_path, PLAN + LATENCY)
    assert refused.exit_code == 1
    assert "plan.toml, line 12: Quantile 0.5 of the latency of champion 1" in refused.output
    assert "edge_ms" in refused.output

    metrics = Metrics()
    for _ in range(50):
        metrics.series("sum", 1, "champion").observe(
            latency_ns=2_000_000, queue_ns=1, compute_ns=1, encode_ns=1, rows=1
        )
    slots = Slots(Settings(data_dir=tmp_path).metrics_dir)
    slots.clear()
    slots.write(0, encode_snapshot(metrics.snapshot()))
    started = start(tmp_path, PLAN + LATENCY)

    assert started.exit_code == 0, started.output
    [rollout] = filled.store.open_rollouts()
    assert rollout.edges_us == (0, 0, 1_750)
    assert "requests beyond 1.75 ms" in run(tmp_path, "show", rollout.id).output


def test_a_stated_latency_needs_no_measurement(filled: Registry, tmp_path: Path) -> None:
    started = start(tmp_path, f"{PLAN}{LATENCY}edge_ms = 20\n")
    assert started.exit_code == 0, started.output
    assert filled.store.open_rollouts()[0].edges_us == (0, 0, 20_000)


def test_the_command_of_a_message_ends_the_rollout(filled: Registry, tmp_path: Path) -> None:
    tell(filled, "ops", EventType.ROLLOUT_STARTED)
    start(tmp_path)
    [event] = told(filled, "ops")
    assert event.rollback is not None
    assert event.rollback.command is not None
    assert event.rollback.command.startswith("gateway rollout abort ")
    rollout_id = event.rollback.command.split()[3]

    assert run(tmp_path, "abort", rollout_id, "--reason", "as told").exit_code == 0
    assert filled.store.rollouts()[0].phase is Phase.ABORTED


def test_a_rollout_or_model_that_is_none_is_said_in_a_line(
    filled: Registry, tmp_path: Path
) -> None:
    for arguments in (("show", "none"), ("abort", "none", "--reason", "x"), ("list", "none")):
        done = run(tmp_path, *arguments)
        assert done.exit_code == 1
        assert "'none'" in done.output
