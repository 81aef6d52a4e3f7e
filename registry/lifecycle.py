"""What may become of a version, of a request to promote one, and of the champion's alias: decisions
only, no storage.

Every state and every transition stands here and nowhere else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from registry.errors import (
    AlreadyChampion,
    Conflict,
    NothingToRollBackTo,
    PromotionDecided,
    PromotionExpired,
    VersionInUse,
    VersionRetired,
)
from registry.manifest import Contract
from registry.promotions import Promotion, PromotionState
from registry.rollouts import Rollout
from registry.versions import AliasCause, AliasChange, Version, VersionState


class Step(StrEnum):
    """What somebody can ask of a version."""

    POINT = "point"  # let an alias name it
    RETIRE = "retire"  # end it


# A step that is not listed is refused and changes nothing.
TRANSITIONS: dict[tuple[VersionState, Step], VersionState] = {
    (VersionState.PUBLISHED, Step.POINT): VersionState.PUBLISHED,
    (VersionState.PUBLISHED, Step.RETIRE): VersionState.RETIRED,
}


class Decision(StrEnum):
    """What can become of a request to promote a version."""

    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"


# A decision that is not listed is refused and changes nothing.
DECISIONS: dict[tuple[PromotionState, Decision], PromotionState] = {
    (PromotionState.PENDING, Decision.APPROVE): PromotionState.APPROVED,
    (PromotionState.PENDING, Decision.REJECT): PromotionState.REJECTED,
    (PromotionState.PENDING, Decision.EXPIRE): PromotionState.EXPIRED,
}


def advance(version: Version, step: Step, aliases: Sequence[str] = ()) -> VersionState:
    """Return the state that follows `step`; a version that an alias names cannot be retired.

    Raises VersionRetired and VersionInUse.
    """
    following = TRANSITIONS.get((version.state, step))
    if following is None:
        raise VersionRetired(version.model, version.number)
    if following is VersionState.RETIRED and aliases:
        raise VersionInUse(version.model, version.number, list(aliases))
    return following


def check_promotion(version: Version, champion: int | None) -> None:
    """Accept a version as the next champion. Raises VersionRetired and AlreadyChampion."""
    advance(version, Step.POINT)
    if version.number == champion:
        raise AlreadyChampion(version.model, version.number)


def decide(promotion: Promotion, decision: Decision, at: datetime) -> PromotionState:
    """Return what a request becomes; once its time is over it can only expire.

    Raises PromotionDecided and PromotionExpired.
    """
    following = DECISIONS.get((promotion.state, decision))
    if following is None:
        raise PromotionDecided(promotion.id, promotion.state.value)
    if decision is not Decision.EXPIRE and at >= promotion.expires:
        raise PromotionExpired(promotion.id, promotion.expires)
    return following


def champions(history: Sequence[AliasChange]) -> list[int]:
    """Return the champions that led to the present one, which stands last.

    A promotion adds one; a rollback takes away all after the version it went back to. So rolling
    back twice goes two versions back and never forward again.
    """
    stack: list[int] = []
    for change in history:
        if change.version is None:
            stack.clear()
        elif change.cause is AliasCause.ROLL_BACK:
            del stack[_last_index(stack, change.version) + 1 :]
        else:
            stack.append(change.version)
    return stack


def rollback_target(
    model: str, history: Sequence[AliasChange], retired: frozenset[int], wanted: int | None
) -> int:
    """Choose the earlier champion to go back to: the latest not retired, or the one wanted.

    The present champion is never the target, also where it was champion before. Raises
    NothingToRollBackTo where there is none.
    """
    stack = champions(history)
    earlier = [number for number in stack[:-1] if number not in retired and number != stack[-1]]
    if not earlier or (wanted is not None and wanted not in earlier):
        raise NothingToRollBackTo(model, wanted)
    return earlier[-1] if wanted is None else wanted


def first_named(history: Sequence[AliasChange], rollouts: Sequence[Rollout]) -> dict[int, datetime]:
    """Say when an alias, any of them, or a rollout named each version first."""
    found: dict[int, datetime] = {}
    named = [(change.version, change.at) for change in history if change.version is not None]
    named += [(rollout.plan.challenger, rollout.started) for rollout in rollouts]
    for version, at in named:
        found[version] = min(at, found.get(version, at))
    return found


def warm_up_ends(contract: Contract, named: datetime | None) -> datetime | None:
    """Say when the rules of a version begin to act; None while nothing has named it.

    The history of its aliases and rollouts decides it, so all workers agree, whenever they start.
    """
    return None if named is None else named + timedelta(seconds=contract.warm_up_s)


def _last_index(stack: list[int], number: int) -> int:
    for index in range(len(stack) - 1, -1, -1):
        if stack[index] == number:
            return index
    raise Conflict(f"The history rolls back to version {number}, which was not champion before.")
