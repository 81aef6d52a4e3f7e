"""The phases of a rollout, and what becomes of it by each action: decisions only, no storage.

Every phase and every transition stands here and nowhere else.
"""

from datetime import datetime
from enum import StrEnum

from msgspec.structs import replace

from registry.errors import RolloutNotReady, RolloutOver
from registry.rollouts import Assessment, Phase, Plan, Rollout, Verdict


class Action(StrEnum):
    """What can be done with a rollout."""

    START = "start"
    ADVANCE = "advance"  # the stage is passed, and the next one begins
    PASS = "pass"  # noqa: S105 - no password; the last stage is passed
    PAUSE = "pause"  # the challenger meets no traffic until it is resumed
    RESUME = "resume"
    ROLL_BACK = "roll_back"  # the challenger was worse, or failed
    EXPIRE = "expire"  # there was no verdict in time
    ABORT = "abort"  # a person ended it, or the champion moved to another version
    PROMOTE = "promote"  # the challenger became the champion


# The phase that a rollout begins in: that of the first stage of its plan.
BEGINNINGS = (Phase.SHADOW, Phase.CANARY)

# An action that is not listed is refused and changes nothing.
TRANSITIONS: dict[tuple[Phase, Action], Phase] = {
    (Phase.SHADOW, Action.ADVANCE): Phase.CANARY,
    (Phase.SHADOW, Action.PASS): Phase.PASSED,
    (Phase.SHADOW, Action.PAUSE): Phase.SHADOW,
    (Phase.SHADOW, Action.RESUME): Phase.SHADOW,
    (Phase.SHADOW, Action.ROLL_BACK): Phase.ROLLED_BACK,
    (Phase.SHADOW, Action.EXPIRE): Phase.EXPIRED,
    (Phase.SHADOW, Action.ABORT): Phase.ABORTED,
    (Phase.SHADOW, Action.PROMOTE): Phase.PROMOTED,
    (Phase.CANARY, Action.ADVANCE): Phase.CANARY,
    (Phase.CANARY, Action.PASS): Phase.PASSED,
    (Phase.CANARY, Action.PAUSE): Phase.CANARY,
    (Phase.CANARY, Action.RESUME): Phase.CANARY,
    (Phase.CANARY, Action.ROLL_BACK): Phase.ROLLED_BACK,
    (Phase.CANARY, Action.EXPIRE): Phase.EXPIRED,
    (Phase.CANARY, Action.ABORT): Phase.ABORTED,
    (Phase.CANARY, Action.PROMOTE): Phase.PROMOTED,
    (Phase.PASSED, Action.PAUSE): Phase.PASSED,
    (Phase.PASSED, Action.RESUME): Phase.PASSED,
    (Phase.PASSED, Action.ROLL_BACK): Phase.ROLLED_BACK,
    (Phase.PASSED, Action.EXPIRE): Phase.EXPIRED,
    (Phase.PASSED, Action.ABORT): Phase.ABORTED,
    (Phase.PASSED, Action.PROMOTE): Phase.PROMOTED,
}


def first_phase(plan: Plan) -> Phase:
    """Return the phase that a rollout of this plan begins in."""
    return Phase.CANARY if plan.shadow is None else Phase.SHADOW


def follow(rollout: Rollout, action: Action, at: datetime) -> Rollout:
    """Return the rollout as an action makes it at a time.

    Raises RolloutOver, and RolloutNotReady for what cannot be done in its phase.
    """
    if rollout.phase.is_over:
        raise RolloutOver(rollout.id, rollout.phase.value)
    phase = TRANSITIONS.get((rollout.phase, action))
    if phase is None:
        raise RolloutNotReady(
            rollout.id, f"nothing of it is left to {action} while {rollout.phase}"
        )
    if action in {Action.PAUSE, Action.RESUME}:
        return replace(rollout, is_paused=action is Action.PAUSE)
    if phase.is_over:
        return replace(rollout, phase=phase, is_paused=False, ended=at)
    if rollout.is_paused:
        raise RolloutNotReady(rollout.id, "it is paused; resume it first")
    if action is Action.PASS:
        return replace(rollout, phase=phase)
    return replace(rollout, phase=phase, stage=rollout.stage + 1, entered=at)


def passing(rollout: Rollout, assessment: Assessment) -> Action:
    """Return what passing the present stage is: ADVANCE, or PASS where it is the last one.

    An assessment that does not show as much passes no stage, whoever asks for it. Raises
    RolloutOver and RolloutNotReady.
    """
    if rollout.phase.is_over:
        raise RolloutOver(rollout.id, rollout.phase.value)
    lacking = _lacking(rollout, assessment)
    if lacking is not None:
        raise RolloutNotReady(rollout.id, lacking)
    return Action.PASS if rollout.is_last_stage else Action.ADVANCE


def _lacking(rollout: Rollout, assessment: Assessment) -> str | None:
    step = rollout.plan.stages[rollout.stage]
    if assessment.stage != rollout.stage:
        return f"what was judged is stage {assessment.stage}, and it is in stage {rollout.stage}"
    verdicts = {assessment.verdict, *(one.verdict for one in assessment.judgements)}
    if verdicts != {Verdict.NON_INFERIOR} or not assessment.judgements:
        return "not every guard says that the challenger is no worse"
    if assessment.requests < step.min_requests:
        return f"the challenger had {assessment.requests:,} of {step.min_requests:,} requests"
    lasted_s = (assessment.at - rollout.entered).total_seconds()
    if lasted_s < step.min_s:
        return f"its stage has lasted {lasted_s:,.0f} of {step.min_s:,.0f} seconds"
    return None
