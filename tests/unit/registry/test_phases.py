"""Every phase of a rollout, every action, and what evidence passes a stage."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from registry.errors import RolloutNotReady, RolloutOver
from registry.phases import BEGINNINGS, TRANSITIONS, Action, first_phase, follow, passing
from registry.rollouts import Phase, Plan, Rollout, Step, Verdict
from tests.rolled import ERRORS, assess, make_plan

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
OPEN = [phase for phase in Phase if not phase.is_over]
OVER = [phase for phase in Phase if phase.is_over]
SHADOWED = make_plan(shadow=Step(points=10_000, min_requests=100, min_s=60.0))


def make_rollout(phase: Phase = Phase.CANARY, stage: int = 0, **fields: Any) -> Rollout:
    defaults: dict[str, Any] = {
        "id": "one", "model": "m", "champion": 1, "plan": make_plan(), "salt": "s", "base": 0,
        "edges_us": (0,), "author": "a", "reason": "because", "started": NOON, "entered": NOON,
    }  # fmt: skip
    return Rollout(phase=phase, stage=stage, **(defaults | fields))


def test_an_open_phase_can_be_paused_and_ended_by_every_end() -> None:
    ends = {
        Action.ROLL_BACK: Phase.ROLLED_BACK,
        Action.EXPIRE: Phase.EXPIRED,
        Action.ABORT: Phase.ABORTED,
        Action.PROMOTE: Phase.PROMOTED,
    }
    for phase in OPEN:
        assert TRANSITIONS[phase, Action.PAUSE] is TRANSITIONS[phase, Action.RESUME] is phase
        assert {action: TRANSITIONS[phase, action] for action in ends} == ends


def test_nothing_leads_out_of_a_phase_that_is_over_and_nothing_back_to_shadow() -> None:
    assert {phase for phase, _ in TRANSITIONS} == set(OPEN)
    into_shadow = {key for key, phase in TRANSITIONS.items() if phase is Phase.SHADOW}
    assert into_shadow == {(Phase.SHADOW, Action.PAUSE), (Phase.SHADOW, Action.RESUME)}


def test_every_phase_is_reached_from_where_rollouts_begin() -> None:
    reached = set(BEGINNINGS)
    for _ in Phase:
        reached |= {to for (phase, _), to in TRANSITIONS.items() if phase in reached}
    assert reached == set(Phase)


@pytest.mark.parametrize("phase", OVER)
@pytest.mark.parametrize("action", Action)
def test_what_is_over_stays_so(phase: Phase, action: Action) -> None:
    with pytest.raises(RolloutOver, match=f"it is {phase}"):
        follow(make_rollout(phase), action, LATER)


@pytest.mark.parametrize("phase", OPEN)
@pytest.mark.parametrize("action", Action)
def test_what_is_not_in_the_table_is_refused(phase: Phase, action: Action) -> None:
    stage = 1 if phase is Phase.PASSED else 0
    rollout = make_rollout(phase, stage)
    if (phase, action) in TRANSITIONS:
        assert follow(rollout, action, LATER).phase is TRANSITIONS[phase, action]
    else:
        with pytest.raises(RolloutNotReady, match=str(phase)):
            follow(rollout, action, LATER)


def test_a_rollout_begins_in_its_shadow_where_the_plan_has_one() -> None:
    assert first_phase(make_plan()) is Phase.CANARY
    assert first_phase(SHADOWED) is Phase.SHADOW


def test_stages_follow_each_other_and_each_has_its_share() -> None:
    rollout = make_rollout(Phase.SHADOW, plan=SHADOWED)
    shares = [(rollout.shadow_points, rollout.points)]
    for action in (Action.ADVANCE, Action.ADVANCE, Action.PASS):
        rollout = follow(rollout, action, LATER)
        shares.append((rollout.shadow_points, rollout.points))

    assert shares == [(10_000, 0), (0, 1_000), (0, 2_500), (0, 2_500)]
    assert (rollout.phase, rollout.stage, rollout.entered) == (Phase.PASSED, 2, LATER)
    assert rollout.ended is None


def test_stages_are_named_for_people() -> None:
    names = [
        make_rollout(stage=stage, plan=plan).stage_name
        for plan, stage in ((SHADOWED, 0), (SHADOWED, 1), (SHADOWED, 2), (make_plan(), 1))
    ]
    assert names == [
        "shadow (100 %)", "step 1 of 2 (10 %)", "step 2 of 2 (25 %)", "step 2 of 2 (25 %)",
    ]  # fmt: skip


def test_a_paused_rollout_meets_no_traffic_and_goes_on_where_it_was() -> None:
    for before in (make_rollout(stage=1), make_rollout(Phase.SHADOW, plan=SHADOWED)):
        paused = follow(before, Action.PAUSE, LATER)
        assert (paused.points, paused.shadow_points) == (0, 0)
        assert follow(paused, Action.RESUME, LATER) == before


@pytest.mark.parametrize("action", [Action.ADVANCE, Action.PASS])
def test_a_paused_rollout_goes_to_no_other_stage(action: Action) -> None:
    with pytest.raises(RolloutNotReady, match="paused"):
        follow(make_rollout(is_paused=True), action, LATER)


def test_a_paused_rollout_can_be_ended_and_is_not_paused_then() -> None:
    ended = follow(make_rollout(is_paused=True), Action.ROLL_BACK, LATER)
    assert (ended.phase, ended.is_paused, ended.ended) == (Phase.ROLLED_BACK, False, LATER)


def test_the_last_stage_is_passed_and_every_other_advances() -> None:
    for plan, stage, action in (
        (make_plan(), 0, Action.ADVANCE),
        (make_plan(), 1, Action.PASS),
        (Plan(challenger=2, guards=(ERRORS,), shadow=Step(points=1)), 0, Action.PASS),
    ):
        phase = first_phase(plan)
        rollout = make_rollout(phase, stage, plan=plan)
        assert passing(rollout, assess(rollout)) is action


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"verdict": Verdict.UNDECIDED}, "not every guard"),
        ({"verdict": Verdict.WORSE}, "not every guard"),
        ({"judgements": ()}, "not every guard"),
        ({"stage": 1}, "stage 1"),
        ({"requests": 99}, "99 of 100 requests"),
        ({"at": NOON + timedelta(seconds=59)}, "59 of 60 seconds"),
    ],
)
def test_evidence_that_lacks_anything_passes_no_stage(fields: dict[str, Any], fault: str) -> None:
    rollout = make_rollout(Phase.SHADOW, plan=SHADOWED)
    assert passing(rollout, assess(rollout)) is Action.ADVANCE
    with pytest.raises(RolloutNotReady, match=fault):
        passing(rollout, assess(rollout, **fields))


def test_one_guard_that_is_undecided_passes_no_stage() -> None:
    rollout = make_rollout()
    good = assess(rollout)
    doubted = replace(good.judgements[0], verdict=Verdict.UNDECIDED)
    with pytest.raises(RolloutNotReady, match="not every guard"):
        passing(rollout, replace(good, judgements=(*good.judgements, doubted)))


def test_what_is_over_passes_nothing() -> None:
    rollout = make_rollout(Phase.ROLLED_BACK)
    with pytest.raises(RolloutOver):
        passing(rollout, assess(rollout))
