"""A worker that crashes while a challenger answers callers puts the champion back."""

import os
import signal
import time
from pathlib import Path

import pytest

from registry import rolling_out
from registry.registry import Registry
from registry.rollouts import Phase, Rollout
from tests.builders import AUTHOR, PATIENCE_S, Count, linear_model, publish, serving
from tests.crash.processes import children
from tests.rolled import make_plan

ROLLED_BACK_WITHIN_S = 1.0


@pytest.fixture
def rollout(registry: Registry) -> Rollout:
    publish(registry, "sum", linear_model(1.0))
    publish(registry, "sum", linear_model(2.0), promote=False)
    return rolling_out.start(registry, "sum", make_plan(), "better", AUTHOR, edges_us=[0])


def wait_until_over(registry: Registry, rollout: Rollout) -> Rollout:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := rolling_out.find_rollout(registry.store, rollout.id)).phase.is_over:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_killed_worker_rolls_back_what_answers_callers(
    tmp_path: Path, registry: Registry, rollout: Rollout, count: Count
) -> None:
    with serving(tmp_path, workers=2) as gateway:
        [first, _] = children(gateway, "gateway.worker")
        begun = time.monotonic()
        os.kill(first, signal.SIGKILL)
        found = wait_until_over(registry, rollout)
        took_s = time.monotonic() - begun
    assert found.phase is Phase.ROLLED_BACK
    count(f"rolled back {took_s:.2f} s after a worker was killed")
    assert took_s < ROLLED_BACK_WITHIN_S + gateway.started_s
    change = registry.store.rollout_changes(rollout.id)[-1]
    assert change.principal == "controller"
    assert change.reason.startswith("a worker ended without having been told to: worker-")


def test_workers_that_end_as_they_are_told_to_roll_nothing_back(
    tmp_path: Path, registry: Registry, rollout: Rollout
) -> None:
    with serving(tmp_path, workers=2) as gateway:
        assert len(registry.store.workers()) == 2
        workers = children(gateway, "gateway.worker")
        os.kill(workers[0], signal.SIGTERM)  # the supervisor starts another one
        gateway.wait_for("process_ended")
        gateway.wait_for("worker_ready")
        assert gateway.stop() == 0
    assert registry.store.workers() == []
    assert rolling_out.find_rollout(registry.store, rollout.id).phase is Phase.CANARY


def test_a_gateway_that_was_killed_goes_on_with_its_rollouts(
    tmp_path: Path, registry: Registry, rollout: Rollout
) -> None:
    with serving(tmp_path) as gateway:
        gateway.kill_group()
    with serving(tmp_path):
        pass
    assert rolling_out.find_rollout(registry.store, rollout.id).phase is Phase.CANARY
