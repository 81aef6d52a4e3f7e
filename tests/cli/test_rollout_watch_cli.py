"""`gateway rollout watch`: a rollout as it goes on, in the terminal."""

from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

import gateway.cli
from gateway.monitor.layout import to_bytes
from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.rollout_commands.watch import State, Watching, states
from registry import rolling_out
from registry.registry import Registry
from registry.rollouts import Phase, Rollout
from registry.times import now, to_us
from registry.windows import LaneCounts, WorkerCounts
from tests.builders import AUTHOR
from tests.rolled import add_version, make_plan


@pytest.fixture
def rollout(registry: Registry) -> Rollout:
    for _ in range(2):
        add_version(registry, "sum")
    registry.promote("sum", 1, "first", AUTHOR)
    plan = make_plan()
    return rolling_out.start(registry, "sum", plan, "better", AUTHOR, edges_us=[0])


def let_come(registry: Registry, of: Rollout, count: int) -> None:
    """Let as many requests of the challenger come, and twice as many of the champion."""
    tally = Tally(Layout.of(of.plan, of.stage, {}), of.edges_us)
    for number in range(3 * count):
        fails = number % 300 < 3
        tally.add(Facts(is_challenger=number % 3 == 2, failed=fails))
    version = registry.version(of.model, of.plan.challenger)
    lane = LaneCounts(
        of.model, version.number, of.evidence_lane(of.stage), version.manifest,
        to_bytes(tally.counts),
    )  # fmt: skip
    registry.store.take([WorkerCounts(uuid4().hex, to_us(now()), (lane,))])


def watch(data_dir: Path, *arguments: str) -> Result:
    options = ["rollout", "watch", "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(gateway.cli.main, options)


def test_a_rollout_is_shown_as_it_stands(
    registry: Registry, rollout: Rollout, tmp_path: Path
) -> None:
    let_come(registry, rollout, 500)

    shown = watch(tmp_path, rollout.id, "--once")

    assert shown.exit_code == 0, shown.output
    for said in (
        "Version 2 of sum against champion 1",
        "canary, step 1 of 2 (10 %); share now 10 %",
        "requests: champion 1,000, canary 500 (at least 100); ",
        "errors: 5 of 500 against 10 of 1,000",
        "undecided",
        "better",
    ):
        assert said in shown.output, shown.output
    assert any(mark in shown.output for mark in "░.")
    rolling_out.pause(registry, rollout.id, "to look", AUTHOR)
    paused = watch(tmp_path, rollout.id, "--once").output
    assert "canary, paused, step 1 of 2 (10 %); share now 0 %" in paused
    assert "to look" in paused


def test_one_that_is_over_is_shown_and_ends_it(
    registry: Registry, rollout: Rollout, tmp_path: Path
) -> None:
    let_come(registry, rollout, 500)
    rolling_out.abort(registry, rollout.id, "it was a test", AUTHOR)

    shown = watch(tmp_path, rollout.id)

    assert shown.exit_code == 0, shown.output
    for said in ("aborted, step 1 of 2 (10 %)", "it was a test", "5 of 500 against 10 of 1,000"):
        assert said in shown.output
    assert "'none'" in watch(tmp_path, "none").output


def test_it_is_read_again_after_each_wait_until_it_is_over(
    registry: Registry, rollout: Rollout
) -> None:
    read = Watching(registry, rollout.id).read
    waited = 0

    def wait() -> None:
        nonlocal waited
        waited += 1
        if waited == 1:
            let_come(registry, rollout, 100)
        else:
            rolling_out.abort(registry, rollout.id, "it is enough", AUTHOR)

    seen: list[State] = list(states(read, wait))

    assert [one.rollout.phase for one in seen] == [Phase.CANARY, Phase.CANARY, Phase.ABORTED]
    assert [one.champion for one in seen] == [0, 200, 200]
    assert [one.assessment.requests for one in seen] == [0, 100, 100]
    assert replace(seen[-1].rollout, phase=Phase.CANARY, ended=None) == rollout
