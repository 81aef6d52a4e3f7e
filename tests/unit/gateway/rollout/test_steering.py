"""The controller does what the evidence of rollouts says, and nothing else."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from msgspec.structs import replace

from gateway.drift.acting import CONTROLLER
from gateway.monitor.layout import to_bytes
from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.rollout.gauges import RolloutGauges
from gateway.rollout.reading import Assessor
from gateway.rollout.steering import Steering
from gateway.security import Role
from gateway.truth.known import KnownTruth
from registry import promoting, rolling_out
from registry.promotion_evidence import TruthScore
from registry.promotion_policy import PromotionPolicy, TruthNeed
from registry.promotions import PromotionState
from registry.recording import Author
from registry.registry import Registry
from registry.rollouts import (
    Finish,
    Guard,
    GuardKind,
    Phase,
    Plan,
    Rollout,
    Step,
    TruthEvidence,
    Verdict,
)
from registry.times import now, to_us
from registry.versions import CHAMPION
from registry.windows import LaneCounts, WorkerCounts
from tests.builders import AUTHOR
from tests.rolled import add_version, make_manifest, make_plan, step

HOUR = timedelta(hours=1)
OTHER = Author(principal="somebody else")


@pytest.fixture
def steering(registry: Registry) -> Steering:
    for _ in range(3):
        add_version(registry, "sum")
    registry.promote("sum", 1, "first", AUTHOR)
    return Steering(registry, CONTROLLER)


def start(registry: Registry, plan: Plan) -> Rollout:
    edges = [0] * len(plan.guards)
    return rolling_out.start(registry, "sum", plan, "better", AUTHOR, edges_us=edges)


def present(registry: Registry, rollout: Rollout) -> Rollout:
    return rolling_out.find_rollout(registry.store, rollout.id)


def let_come(
    registry: Registry, of: Rollout, count: int, *, failed: int = 0, at: datetime | None = None
) -> None:
    """Let as many requests of each lane come to a worker, every so many of the challenger fail."""
    tally = Tally(Layout.of(of.plan, of.stage, {}), of.edges_us)
    for number in range(count):
        tally.add(Facts(is_challenger=False, failed=number % 1_000 == 0))
        fails = number % (failed or 1_000) == 0
        tally.add(Facts(is_challenger=True, failed=fails))
    version = registry.version(of.model, of.plan.challenger)
    lane = LaneCounts(
        of.model, version.number, of.evidence_lane(of.stage), version.manifest,
        to_bytes(tally.counts),
    )  # fmt: skip
    registry.store.take([WorkerCounts(uuid4().hex, to_us(at or now()), (lane,))])


def steer(steering: Steering, registry: Registry, rollout: Rollout) -> Rollout:
    steering.steer(present(registry, rollout), now())
    return present(registry, rollout)


def test_a_rollout_advances_by_its_evidence_and_is_then_promoted(
    registry: Registry, steering: Steering
) -> None:
    rollout = start(registry, make_plan(finish=Finish.PROMOTE))
    assert steer(steering, registry, rollout).stage == 0
    let_come(registry, rollout, 4_000)
    rollout = steer(steering, registry, rollout)
    assert (rollout.phase, rollout.stage) == (Phase.CANARY, 1)
    assert steer(steering, registry, rollout).phase is Phase.CANARY  # a stage's evidence is its own
    let_come(registry, rollout, 4_000)
    assert steer(steering, registry, rollout).phase is Phase.PASSED
    assert steer(steering, registry, rollout).phase is Phase.PROMOTED
    assert registry.store.aliases("sum")[CHAMPION] == 2


def test_evidence_of_many_workers_and_days_is_added_up(
    registry: Registry, steering: Steering
) -> None:
    rollout = start(registry, make_plan())
    for days in range(4):
        let_come(registry, rollout, 1_000, at=rollout.started + timedelta(days=days))
    at = rollout.started + timedelta(days=4)
    assessment = Assessor(registry).assess(present(registry, rollout), at)
    assert (assessment.requests, assessment.verdict) == (4_000, Verdict.NON_INFERIOR)


def test_a_challenger_that_is_worse_is_rolled_back_with_the_evidence(
    registry: Registry, steering: Steering
) -> None:
    rollout = start(registry, make_plan())
    let_come(registry, rollout, 1_000, failed=10)
    assert steer(steering, registry, rollout).phase is Phase.ROLLED_BACK
    change = registry.store.rollout_changes(rollout.id)[-1]
    assert change.principal == "controller"
    assert change.reason.startswith(
        "the challenger is worse in errors: 100 of 1,000 against 1 of 1,000 (e = "
    )
    assert change.assessment is not None
    [judgement] = change.assessment.judgements
    assert judgement.evidence_worse is not None
    assert (judgement.events, judgement.verdict) == ((100, 1), Verdict.WORSE)


def test_one_that_has_passed_can_still_turn_out_worse(
    registry: Registry, steering: Steering
) -> None:
    rollout = start(registry, make_plan(steps=(step(),)))
    let_come(registry, rollout, 4_000)
    assert steer(steering, registry, rollout).phase is Phase.PASSED
    assert steer(steering, registry, rollout).phase is Phase.PASSED  # a person decides
    let_come(registry, rollout, 4_000, failed=5)
    assert steer(steering, registry, rollout).phase is Phase.ROLLED_BACK


def pass_all(registry: Registry, steering: Steering, **plan: Any) -> Rollout:
    rollout = start(registry, make_plan(steps=(step(),), **plan))
    let_come(registry, rollout, 4_000)
    steer(steering, registry, rollout)
    return steer(steering, registry, rollout)


def steer_later(registry: Registry, rollout: Rollout) -> Rollout:
    """Steer as a controller does that has just begun."""
    return steer(Steering(registry, CONTROLLER), registry, rollout)


def test_what_has_passed_is_asked_for_once_whatever_people_decide(
    registry: Registry, steering: Steering
) -> None:
    rollout = pass_all(registry, steering)

    [asked] = registry.store.promotions("sum")
    assert (asked.version, asked.author, asked.state) == (2, rollout.author, PromotionState.PENDING)
    steer_later(registry, rollout)
    assert registry.store.promotions("sum") == [asked]
    promoting.reject(registry, asked.id, "not this one", OTHER)
    steer_later(registry, rollout)
    [rejected] = registry.store.promotions("sum")
    assert rejected.state is PromotionState.REJECTED


def test_where_two_persons_are_needed_what_would_be_promoted_is_asked_for(
    registry: Registry, steering: Steering
) -> None:
    policy = PromotionPolicy(second_person=True)
    promoting.set_promotion_policy(registry, "sum", policy, frozenset(Role), AUTHOR)

    rollout = pass_all(registry, steering, finish=Finish.PROMOTE)

    assert rollout.phase is Phase.PASSED
    [asked] = registry.store.promotions("sum")
    promoting.approve(registry, asked.id, "the evidence is good", OTHER)
    assert present(registry, rollout).phase is Phase.PROMOTED


SCORE = TruthScore(metric="absolute_error", labels=600, value=0.1, low=0.09, high=0.11)


class SlowScores:
    """Scores that are there once they were asked for often enough."""

    def __init__(self, *rounds: list[TruthScore] | None) -> None:
        self.rounds = list(rounds)

    def __call__(self, rollout: Rollout) -> list[TruthScore] | None:
        return self.rounds.pop(0)


def want_truth(registry: Registry, **policy: Any) -> None:
    need = TruthNeed(metric="absolute_error", labels=500, at_most=0.2)
    wanted = PromotionPolicy(truth=(need,), **policy)
    promoting.set_promotion_policy(registry, "sum", wanted, frozenset(Role), AUTHOR)


@pytest.mark.parametrize("finish", list(Finish))
def test_what_has_passed_is_finished_once_its_ground_truth_is_read_and_nobody_waits(
    registry: Registry, steering: Steering, finish: Finish
) -> None:
    want_truth(registry)
    scores = SlowScores(None, None, [SCORE])
    slow = Steering(registry, CONTROLLER, scores=scores)
    rollout = pass_all(registry, slow, finish=finish)
    assert len(scores.rounds) == 2
    assert steer(slow, registry, rollout).phase is Phase.PASSED
    assert registry.store.promotions("sum") == []

    rollout = steer(slow, registry, rollout)

    if finish is Finish.PROMOTE:
        assert rollout.phase is Phase.PROMOTED
    else:
        [asked] = registry.store.promotions("sum")
        assert asked.evidence.truth == (SCORE,)
    assert scores.rounds == []


def test_nothing_is_finished_before_its_guards_know_their_ground_truth(
    registry: Registry, steering: Steering
) -> None:
    rollout = pass_all(registry, Steering(registry, CONTROLLER, is_read=lambda _: False))
    assert registry.store.promotions("sum") == []

    steer_later(registry, rollout)

    [asked] = registry.store.promotions("sum")
    assert asked.version == 2


def test_while_ground_truth_is_read_a_challenger_can_still_turn_out_worse(
    registry: Registry, steering: Steering
) -> None:
    want_truth(registry)
    slow = Steering(registry, CONTROLLER, scores=SlowScores(None))
    rollout = pass_all(registry, slow, finish=Finish.PROMOTE)
    let_come(registry, rollout, 4_000, failed=5)

    assert steer(slow, registry, rollout).phase is Phase.ROLLED_BACK


def test_ground_truth_that_is_out_of_bounds_holds_a_promotion_until_it_is_read_again(
    registry: Registry, steering: Steering
) -> None:
    want_truth(registry)
    scores = SlowScores([replace(SCORE, high=0.3)], [SCORE])
    slow = Steering(registry, CONTROLLER, scores=scores)
    rollout = pass_all(registry, slow, finish=Finish.PROMOTE)
    assert steer(slow, registry, rollout).phase is Phase.PASSED
    assert scores.rounds == [[SCORE]]  # it is tried again half a minute later


def test_no_ground_truth_is_read_for_what_is_asked_already_or_asks_for_none(
    registry: Registry, steering: Steering
) -> None:
    rollout = pass_all(registry, Steering(registry, CONTROLLER, scores=SlowScores()))
    [asked] = registry.store.promotions("sum")
    assert asked.version == 2
    want_truth(registry, second_person=True)

    again = Steering(registry, CONTROLLER, scores=SlowScores())
    assert steer(again, registry, rollout).phase is Phase.PASSED


def test_nothing_is_kept_of_a_rollout_that_is_over(registry: Registry, steering: Steering) -> None:
    rollout = pass_all(registry, steering)
    assert steering._finish_again.keys() == {rollout.id}
    rolling_out.abort(registry, rollout.id, "not now", AUTHOR)

    steering.run()

    assert steering._finish_again == {}


def test_time_that_runs_out_promotes_nothing(registry: Registry, steering: Steering) -> None:
    rollout = start(registry, make_plan(max_s=600.0))
    let_come(registry, rollout, 1_000)
    steering.steer(rollout, rollout.started + timedelta(seconds=599))
    assert present(registry, rollout).phase is Phase.CANARY
    steering.steer(rollout, rollout.started + timedelta(seconds=600))
    assert present(registry, rollout).phase is Phase.EXPIRED
    reason = registry.store.rollout_changes(rollout.id)[-1].reason
    assert reason == "no decision in 600 s; undecided: errors"


def test_while_it_is_paused_nothing_follows_but_its_end(
    registry: Registry, steering: Steering
) -> None:
    rollout = start(registry, make_plan(max_s=600.0))
    let_come(registry, rollout, 1_000, failed=5)
    rolling_out.pause(registry, rollout.id, "a look", AUTHOR)
    assert steer(steering, registry, rollout).phase is Phase.CANARY
    steering.steer(present(registry, rollout), rollout.started + HOUR)
    assert present(registry, rollout).phase is Phase.EXPIRED


def test_a_controller_that_starts_anew_goes_on(registry: Registry, steering: Steering) -> None:
    rollout = start(registry, make_plan())
    let_come(registry, rollout, 2_000)
    steer(steering, registry, rollout)
    let_come(registry, rollout, 2_000)
    again = Steering(registry, CONTROLLER)
    again.run()
    assert present(registry, rollout).stage == 1


def test_a_rollout_that_cannot_be_steered_keeps_no_other_from_it(
    registry: Registry, steering: Steering, tmp_path: Path
) -> None:
    add_version(registry, "broken")
    version = add_version(registry, "broken", make_manifest(description="damaged"))
    registry.promote("broken", 1, "first", AUTHOR)
    first = rolling_out.start(registry, "broken", make_plan(), "why", AUTHOR, edges_us=[0])
    second = start(registry, make_plan())
    let_come(registry, second, 1_000, failed=5)
    [damaged] = tmp_path.rglob(f"*{version.manifest.partition(':')[2]}*")
    damaged.write_bytes(b"")
    steering.run()
    assert present(registry, second).phase is Phase.ROLLED_BACK
    assert present(registry, first).phase is Phase.CANARY


def test_a_rollout_that_somebody_ends_while_it_is_judged_stays_as_they_left_it(
    registry: Registry, steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = start(registry, make_plan())
    let_come(registry, rollout, 1_000, failed=10)
    monkeypatch.setattr(registry.store, "open_rollouts", lambda: [rollout])
    rolling_out.abort(registry, rollout.id, "a person", AUTHOR)

    with structlog.testing.capture_logs() as told:
        steering.run()

    assert present(registry, rollout).phase is Phase.ABORTED
    assert [line["event"] for line in told] == ["rollout_ended_meanwhile"]


def test_every_challenger_that_answers_callers_is_tripped(
    registry: Registry, steering: Steering
) -> None:
    canary = start(registry, make_plan())
    shadow = start(registry, make_plan(3, shadow=Step(points=10_000), steps=(step(),)))
    steering.trip_canaries(["worker-1"])
    assert present(registry, canary).phase is Phase.ROLLED_BACK
    assert present(registry, shadow).phase is Phase.SHADOW
    reason = registry.store.rollout_changes(canary.id)[-1].reason
    assert reason == "a worker ended without having been told to: worker-1"


def test_metrics_tell_how_open_rollouts_stand(registry: Registry, steering: Steering) -> None:
    rollout = start(registry, make_plan())
    let_come(registry, rollout, 1_000, failed=10)
    [state] = RolloutGauges(registry).read()
    assert (state.model, state.version, state.phase, state.points) == ("sum", 2, "canary", 1_000)
    assert state.requests == 1_000
    [guard] = state.guards
    assert (guard.name, guard.verdict, guard.fine) == ("errors", -1, None)
    assert guard.worse is not None
    steer(steering, registry, rollout)
    assert RolloutGauges(registry).read() == ()


class Labels:
    """Ground truth that says one thing of every guard."""

    def __init__(self, mean: float) -> None:
        self.kept: list[str] = []
        self._found = TruthEvidence(
            blocks=40, sum=40 * mean, squares=40 * (mean * mean + 0.01), challenger=1, champion=1
        )

    def evidence(self, rollout: Rollout, at: datetime) -> dict[int, TruthEvidence]:
        return dict.fromkeys(range(len(rollout.plan.guards)), self._found)

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        self.kept = [one.id for one in rollouts]


def test_metrics_show_what_the_controller_judges_ground_truth_by(
    registry: Registry, steering: Steering, tmp_path: Path
) -> None:
    error = Guard(kind=GuardKind.TRUTH, margin=0.1, metric="absolute_error")
    rollout = start(registry, make_plan(guards=(error,)))
    known = KnownTruth(tmp_path / "metrics")
    gauges = RolloutGauges(registry, known)

    assert [guard.verdict for state in gauges.read() for guard in state.guards] == [0]
    for mean, verdict in ((0.5, -1), (-0.5, 1)):
        known.write({(rollout.id, 0): Labels(mean).evidence(rollout, now())})
        [state] = RolloutGauges(registry, known).read()
        [guard] = state.guards
        assert (guard.name, guard.verdict) == ("truth of absolute_error", verdict)


def test_ground_truth_is_asked_and_can_roll_back(registry: Registry, steering: Steering) -> None:
    error = Guard(kind=GuardKind.TRUTH, margin=0.1, metric="absolute_error")
    rollout = start(registry, make_plan(guards=(error,)))
    assert steer(steering, registry, rollout).phase is Phase.CANARY
    labels = Labels(0.5)
    Steering(registry, CONTROLLER, labels).run()
    assert present(registry, rollout).phase is Phase.ROLLED_BACK
    assert labels.kept == [rollout.id]
