"""What becomes of a rollout is kept: its new state, an entry of its history, and who is told.

The record of it is the caller's to write, in the same transaction.
"""

from registry import phases
from registry.announcing import announce, rollout_changed
from registry.errors import VersionInRollout
from registry.phases import Action
from registry.reader import Reader
from registry.records import AuditRecord
from registry.rollouts import Assessment, Rollout, RolloutChange
from registry.store import Transaction
from registry.times import from_us
from registry.versions import Version


def begin(tx: Transaction, record: AuditRecord, rollout: Rollout) -> None:
    """Keep a new rollout, as its record says that it has started."""
    tx.add_rollout(rollout, _entry(record, rollout, Action.START, None))
    announce(tx, rollout_changed(tx, record, rollout, Action.START, None))


def go_on(
    tx: Transaction,
    record: AuditRecord,
    rollout: Rollout,
    action: Action,
    assessment: Assessment | None = None,
) -> Rollout:
    """Let a rollout become what an action makes of it, at the time of the record.

    Raises RolloutOver and RolloutNotReady.
    """
    changed = phases.follow(rollout, action, from_us(int(record.time) // 1000))
    tx.change_rollout(changed, _entry(record, changed, action, assessment))
    announce(tx, rollout_changed(tx, record, changed, action, assessment))
    return changed


def refuse_challenger(view: Reader, version: Version) -> None:
    """Accept a version that is in no open rollout. Raises VersionInRollout."""
    for rollout in view.open_rollouts():
        if (rollout.model, rollout.plan.challenger) == (version.model, version.number):
            raise VersionInRollout(version.model, version.number, rollout.id)


def _entry(
    record: AuditRecord, rollout: Rollout, action: Action, assessment: Assessment | None
) -> RolloutChange:
    return RolloutChange(
        rollout=rollout.id,
        phase=rollout.phase,
        stage=rollout.stage,
        action=action.value,
        at=from_us(int(record.time) // 1000),
        principal=record.principal or "",
        reason=record.reason or "",
        record_id=record.id,
        is_paused=rollout.is_paused,
        assessment=assessment,
    )
