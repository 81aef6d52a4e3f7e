"""Verbs on rollouts: how a challenger meets traffic, step by step, and how that ends.

Each is one decision and one transaction that contains its audit record, an entry of the rollout's
history and what people are told. The record of a start commits to the plan, that of a decision to
the evidence: `subject` is the digest of their JSON.
"""

from collections.abc import Sequence

import msgspec

from registry.artifacts import digest_of
from registry.errors import RolloutNotFound, RolloutNotReady, RolloutOver
from registry.names import check_reason
from registry.phases import Action, first_phase, passing
from registry.plan_check import check_plan
from registry.promotion_evidence import TruthScore
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.registry import Registry
from registry.rollout_history import begin, go_on, refuse_challenger
from registry.rollout_start import find_versions, fit_versions, fix_edges, place_share
from registry.rollouts import Assessment, Phase, Plan, Rollout
from registry.store import Transaction
from registry.times import now


def start(
    registry: Registry,
    model: str,
    plan: Plan,
    reason: str,
    author: Author,
    *,
    edges_us: Sequence[int],
) -> Rollout:
    """Let a challenger meet the traffic of a model's champion, as planned.

    `edges_us` has for each guard on latency what its quantile of the champion's is, 0 where nobody
    knows; a latency that the guard states goes before that. The plan is kept with the outputs that
    its guards compare named.

    Raises PlanRejected, ModelNotFound, VersionNotFound, VersionRetired, AlreadyChampion,
    NoChampion, VersionInRollout, SignatureDiffers, SharesExceeded, LatencyUnmeasured and
    InvalidRequest.
    """
    check_reason(reason)
    check_plan(plan)
    with registry.store.write() as tx:
        champion, challenger = find_versions(tx, model, plan)
        refuse_challenger(tx, challenger)
        fitted = fit_versions(registry, plan, champion, challenger)
        salt, base = place_share(tx, model, plan)
        at = now()
        record = append_record(
            tx, f"rollout.{Action.START}", author, at,
            version=challenger, previous=champion.number, subject=_digest(fitted), reason=reason,
        )  # fmt: skip
        rollout = Rollout(
            id=record.id,
            model=model,
            champion=champion.number,
            plan=fitted,
            phase=first_phase(plan),
            stage=0,
            salt=salt,
            base=base,
            edges_us=fix_edges(fitted, champion, edges_us),
            author=author.principal,
            reason=reason,
            started=at,
            entered=at,
        )
        begin(tx, record, rollout)
    return rollout


def pause(registry: Registry, rollout_id: str, reason: str, author: Author) -> Rollout:
    """Let the challenger meet no traffic until it is resumed; doing so again changes nothing.

    Raises RolloutNotFound, RolloutOver and InvalidRequest.
    """
    return _set_paused(registry, rollout_id, Action.PAUSE, reason, author)


def resume(registry: Registry, rollout_id: str, reason: str, author: Author) -> Rollout:
    """Let a paused rollout go on in its stage; doing so again changes nothing.

    Raises RolloutNotFound, RolloutOver and InvalidRequest.
    """
    return _set_paused(registry, rollout_id, Action.RESUME, reason, author)


def abort(registry: Registry, rollout_id: str, reason: str, author: Author) -> Rollout:
    """End a rollout, as a person wants it: the champion answers everybody.

    Raises RolloutNotFound, RolloutOver and InvalidRequest.
    """
    return _end(registry, rollout_id, Action.ABORT, reason, author)


def advance(registry: Registry, rollout_id: str, assessment: Assessment, author: Author) -> Rollout:
    """Go on to the next stage, or be passed after the last, on evidence that shows as much.

    Raises RolloutNotFound, RolloutOver, and RolloutNotReady where the assessment is of another
    stage, lacks what the stage asks for, or does not find every guard non-inferior.
    """
    with registry.store.write() as tx:
        rollout = find_rollout(tx, rollout_id)
        action = passing(rollout, assessment)
        reason = (
            f"the challenger was no worse on {assessment.requests:,} requests in"
            f" {rollout.stage_name}"
        )
        return _go_on(tx, rollout, action, reason=reason, author=author, assessment=assessment)


def roll_back(
    registry: Registry,
    rollout_id: str,
    reason: str,
    author: Author,
    assessment: Assessment | None = None,
) -> Rollout:
    """End a rollout whose challenger was worse or failed: the champion answers everybody.

    Raises RolloutNotFound, RolloutOver and InvalidRequest.
    """
    return _end(registry, rollout_id, Action.ROLL_BACK, reason, author, assessment=assessment)


def trip(registry: Registry, rollout_id: str, reason: str, author: Author) -> Rollout:
    """Roll back at once, without evidence to weigh; nothing happens to a rollout that is over.

    Raises RolloutNotFound and InvalidRequest.
    """
    check_reason(reason)
    with registry.store.write() as tx:
        rollout = find_rollout(tx, rollout_id)
        if rollout.phase.is_over:
            return rollout
        return _go_on(tx, rollout, Action.ROLL_BACK, reason=reason, author=author)


def expire(
    registry: Registry,
    rollout_id: str,
    reason: str,
    author: Author,
    assessment: Assessment | None = None,
) -> Rollout:
    """End a rollout that had no verdict in time; it promotes nothing.

    Raises RolloutNotFound, RolloutOver and InvalidRequest.
    """
    return _end(registry, rollout_id, Action.EXPIRE, reason, author, assessment=assessment)


def finish_promoted(
    registry: Registry,
    rollout_id: str,
    reason: str,
    author: Author,
    *,
    scores: Sequence[TruthScore] = (),
) -> Rollout:
    """Promote the challenger of a rollout that has passed every stage, which ends the rollout.

    `scores` are its own from ground truth, where the policy asks for them. Raises RolloutNotFound,
    RolloutOver, RolloutNotReady and what a promotion raises.
    """
    check_reason(reason)
    with registry.store.write() as tx:
        rollout = find_passed(tx, rollout_id)
        case = registry.consider(tx, rollout.model, rollout.plan.challenger, scores)
        registry.promote_alone(tx, case, reason, author)
        return find_rollout(tx, rollout_id)


def rollouts(registry: Registry, model: str) -> list[Rollout]:
    """Return the rollouts of a model, newest first. Raises ModelNotFound."""
    registry.versions(model)
    return registry.store.rollouts(model)


def find_rollout(view: Reader, rollout_id: str) -> Rollout:
    """Return one rollout. Raises RolloutNotFound."""
    rollout = view.rollout(rollout_id)
    if rollout is None:
        raise RolloutNotFound(rollout_id)
    return rollout


def find_passed(view: Reader, rollout_id: str) -> Rollout:
    """Return a rollout that has passed every stage.

    Raises RolloutNotFound, RolloutOver and RolloutNotReady.
    """
    rollout = find_rollout(view, rollout_id)
    if rollout.phase.is_over:
        raise RolloutOver(rollout_id, rollout.phase.value)
    if rollout.phase is not Phase.PASSED:
        raise RolloutNotReady(rollout_id, "not every stage is passed")
    return rollout


def _end(
    registry: Registry,
    rollout_id: str,
    action: Action,
    reason: str,
    author: Author,
    *,
    assessment: Assessment | None = None,
) -> Rollout:
    check_reason(reason)
    with registry.store.write() as tx:
        rollout = find_rollout(tx, rollout_id)
        return _go_on(tx, rollout, action, reason=reason, author=author, assessment=assessment)


def _set_paused(
    registry: Registry, rollout_id: str, action: Action, reason: str, author: Author
) -> Rollout:
    check_reason(reason)
    with registry.store.write() as tx:
        rollout = find_rollout(tx, rollout_id)
        if not rollout.phase.is_over and rollout.is_paused == (action is Action.PAUSE):
            return rollout
        return _go_on(tx, rollout, action, reason=reason, author=author)


def _go_on(
    tx: Transaction,
    rollout: Rollout,
    action: Action,
    *,
    reason: str,
    author: Author,
    assessment: Assessment | None = None,
) -> Rollout:
    record = append_record(
        tx, f"rollout.{action}", author, now(),
        version=tx.version(rollout.model, rollout.plan.challenger), previous=rollout.champion,
        subject=None if assessment is None else _digest(assessment),
        rollout=rollout.id, reason=reason,
    )  # fmt: skip
    return go_on(tx, record, rollout, action, assessment)


def _digest(value: Plan | Assessment) -> str:
    return digest_of(msgspec.json.encode(value))
