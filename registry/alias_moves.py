"""Moves of aliases, each with its record, its news and the end of rollouts that it brings."""

from datetime import datetime

from registry.announcing import announce, champion_moved
from registry.phases import Action
from registry.recording import Author, append_record
from registry.rollout_history import go_on
from registry.store import Transaction
from registry.versions import CHAMPION, AliasCause, AliasChange, Version


def move_alias(
    tx: Transaction,
    cause: AliasCause,
    author: Author,
    at: datetime,
    *,
    model: str,
    alias: str,
    version: Version | None,
    reason: str,
    subject: str | None = None,
) -> AliasChange:
    """Let an alias name a version, or nothing, in a transaction that contains the record of it.

    Where the champion moves, people are told, and rollouts of the model end.
    """
    record = append_record(
        tx,
        cause.value,
        author,
        at,
        model=model,
        version=version,
        alias=alias,
        previous=tx.aliases(model).get(alias),
        subject=subject,
        reason=reason,
    )
    change = AliasChange(
        model=model,
        alias=alias,
        version=None if version is None else version.number,
        cause=cause,
        at=at,
        principal=author.principal,
        reason=reason,
        record_id=record.id,
    )
    tx.add_alias_change(change)
    if alias == CHAMPION:
        announce(tx, champion_moved(record, change))
        _end_rollouts(tx, change, author)
    return change


def _end_rollouts(tx: Transaction, change: AliasChange, author: Author) -> None:
    """End the rollouts of a model whose champion has moved: what they compare with is gone."""
    for rollout in tx.open_rollouts():
        if rollout.model != change.model:
            continue
        is_its_own = rollout.plan.challenger == change.version
        is_promoted = is_its_own and change.cause is AliasCause.PROMOTE
        action = Action.PROMOTE if is_promoted else Action.ABORT
        record = append_record(
            tx,
            f"rollout.{action}",
            author,
            change.at,
            version=tx.version(rollout.model, rollout.plan.challenger),
            previous=rollout.champion,
            rollout=rollout.id,
            reason=change.reason
            if is_promoted
            else f"version {change.version} became champion by {change.cause}: {change.reason}",
        )
        go_on(tx, record, rollout, action)
