"""The course of a rehearsed rollout: what is judged when, and what follows."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.plan_rehearsal.course import Course, Met, StageCourse
from gateway.plan_rehearsal.report import rehearsed_rollout
from gateway.rollout.evidence import Facts
from registry.phases import Action
from registry.rollouts import Guard, GuardKind, Phase, Plan, Step, Verdict

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)
LATENCY = Guard(kind=GuardKind.LATENCY, margin=2.0)
TRUTH = Guard(kind=GuardKind.TRUTH, margin=0.1, metric="accuracy")
STEP = Step(points=5_000, min_requests=100, min_s=0.0)
FAULT = Met((Facts(is_challenger=True, failed=True),), was_run=True, fault="model-failed")


def course(*guards: Guard, steps: tuple[Step, ...] = (STEP,), **fields: float) -> Course:
    plan = Plan(challenger=2, guards=guards or (ERRORS,), steps=steps, **fields)
    return Course(rehearsed_rollout("m", 1, plan, "salt", NOON), {})


def feed(to: Course, count: int, *, failed: int = 1_000, every_s: float = 0.01) -> None:
    """Let as many requests of each lane come until it is decided; every so many fail."""
    for number in range(count):
        at = NOON + timedelta(seconds=every_s * number)
        to.wait(at)
        if to.is_decided:
            return
        to.take(Met((Facts(is_challenger=False, failed=number % 1_000 == 0),)), at)
        fails = number % failed == 0
        facts = Facts(is_challenger=True, failed=fails)
        fault = "model-failed" if fails else None
        to.take(Met((facts,), was_run=True, fault=fault, is_answered=not fails), at)


def come(
    to: Course, count: int, *, failed: int = 1_000, every_s: float = 0.01
) -> tuple[StageCourse, ...]:
    """Let requests come, and end the traffic with them."""
    feed(to, count, failed=failed, every_s=every_s)
    return to.end()


def test_an_equal_challenger_passes_stage_by_stage() -> None:
    of = course(steps=(STEP, Step(points=9_000, min_requests=100, min_s=0.0)))
    first, second = come(of, 10_000)
    assert (first.action, second.action) == (Action.ADVANCE, Action.PASS)
    assert (first.name, second.name) == ("step 1 of 2 (50 %)", "step 2 of 2 (90 %)")
    assert first.ended == second.began
    assert first.challenger * 2 == first.requests
    assert first.assessment.verdict is Verdict.NON_INFERIOR
    assert of.rollout.phase is Phase.PASSED
    # A stage's requests and evidence are its own, and what came after the last was not needed.
    for stage in (first, second):
        assert stage.requests == 200 * (stage.ended - stage.began).total_seconds()
        assert 2_000 <= stage.assessment.requests <= stage.challenger < 7_000


def test_a_worse_challenger_is_rolled_back_at_the_next_look() -> None:
    of = course()
    [stage] = come(of, 10_000, failed=10)
    assert (stage.action, of.rollout.phase) == (Action.ROLL_BACK, Phase.ROLLED_BACK)
    assert stage.assessment.verdict is Verdict.WORSE
    assert stage.reason.startswith("the challenger is worse in errors: ")
    assert (stage.ended - NOON) % timedelta(seconds=1) == timedelta()
    assert stage.looks == (stage.ended - NOON).total_seconds()


def test_a_stage_lasts_as_long_as_recorded_time_says() -> None:
    slow = Step(points=5_000, min_requests=100, min_s=3_600.0)
    [stage] = come(course(steps=(slow,)), 5_000)
    assert stage.action is None
    assert stage.reason == "the traffic ends; its requests or its time were too few"
    for waited_s, phase in ((3_599, Phase.CANARY), (3_601, Phase.PASSED)):
        of = course(steps=(slow,))
        feed(of, 5_000)
        of.wait(NOON + timedelta(seconds=waited_s))
        assert of.rollout.phase is phase


def test_without_a_verdict_in_time_it_expires_and_promotes_nothing() -> None:
    of = course(max_s=60.0)
    [stage] = come(of, 100, every_s=1.0)
    assert (stage.action, of.rollout.phase) == (Action.EXPIRE, Phase.EXPIRED)
    assert stage.ended == NOON + timedelta(seconds=60)
    assert stage.reason == "no decision in 60 s; undecided: errors"


def test_faults_in_a_row_roll_back_at_once() -> None:
    of = course()
    for number in range(5):
        assert not of.is_decided
        of.take(FAULT, NOON + timedelta(milliseconds=number))
    [stage] = of.end()
    assert (stage.action, stage.requests) == (Action.ROLL_BACK, 5)
    assert "failed 5 requests in a row, the last with `model-failed`" in stage.reason


def test_an_answer_in_between_ends_the_row() -> None:
    of = course()
    answer = Met((Facts(is_challenger=True),), was_run=True, is_answered=True)
    for met in (FAULT,) * 4 + (answer,) + (FAULT,) * 4:
        of.take(met, NOON)
    assert not of.is_decided


@pytest.mark.parametrize("guard", [LATENCY, TRUTH])
def test_what_cannot_be_rehearsed_holds_nothing_and_takes_its_share_of_alpha(
    guard: Guard,
) -> None:
    [alone], [beside] = come(course(), 10_000), come(course(ERRORS, guard), 10_000)
    assert beside.action is Action.PASS
    assert [one.guard for one in beside.assessment.judgements] == [ERRORS]
    assert alone.ended == beside.ended
    worse = [come(course(*guards), 10_000, failed=70)[0] for guards in ((), (ERRORS, guard))]
    assert worse[0].requests < worse[1].requests


def test_a_stage_that_no_guard_can_judge_is_left_undecided() -> None:
    [stage] = come(course(LATENCY), 5_000)
    assert stage.action is None
    assert stage.assessment.judgements == ()
    assert stage.reason == "the traffic ends; none of its guards can be rehearsed"
