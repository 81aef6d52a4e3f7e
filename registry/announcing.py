"""Lets people know: `announce` in the transaction of a change, and the events of the registry."""

import shlex
from typing import Any

import msgspec

from registry.entry import new_record_id
from registry.errors import NothingToRollBackTo
from registry.events import Event, EventType, Rollback
from registry.findings import Finding
from registry.lifecycle import rollback_target
from registry.phases import Action
from registry.reader import Reader
from registry.records import AuditRecord
from registry.rollouts import Assessment, Rollout
from registry.store import Transaction
from registry.times import from_us
from registry.versions import CHAMPION, AliasCause, AliasChange, VersionState

# What is told of each action on a rollout, with the stage that it is in then.
_ROLLOUT_NEWS: dict[Action, tuple[EventType, str]] = {
    Action.START: (EventType.ROLLOUT_STARTED, "its rollout began in {stage}"),
    Action.ADVANCE: (EventType.ROLLOUT_ADVANCED, "it goes on in {stage}"),
    Action.PASS: (EventType.ROLLOUT_PASSED, "it passed every stage"),
    Action.PAUSE: (EventType.ROLLOUT_PAUSED, "its rollout is paused in {stage}"),
    Action.RESUME: (EventType.ROLLOUT_RESUMED, "its rollout is resumed in {stage}"),
    Action.ROLL_BACK: (EventType.ROLLOUT_ROLLED_BACK, "it was rolled back from {stage}"),
    Action.EXPIRE: (EventType.ROLLOUT_EXPIRED, "there was no verdict in time in {stage}"),
    Action.ABORT: (EventType.ROLLOUT_ABORTED, "its rollout was aborted in {stage}"),
    Action.PROMOTE: (EventType.ROLLOUT_PROMOTED, "it is the champion"),
}


def announce(tx: Transaction, event: Event) -> None:
    """Have everybody told, at least once, who is to know of an event; kept with its record.

    Where nobody is, nothing is kept: the record says what happened.
    """
    told = [one.name for one in tx.destinations() if one.wants(event)]
    if told:
        tx.add_event(event, told)


def make_event(
    record: AuditRecord,
    kind: EventType,
    summary: str,
    *,
    data: dict[str, Any] | None = None,
    rollback: Rollback | None = None,
) -> Event:
    """Make the event that belongs to a record; model, version and time are those of the record."""
    return Event(
        id=new_record_id(int(record.time)),
        type=kind,
        model=record.model,
        version=record.version,
        time=from_us(int(record.time) // 1000),
        summary=summary,
        data=data or {},
        record_id=record.id,
        rollback=rollback,
    )


def champion_moved(record: AuditRecord, change: AliasChange) -> Event:
    """Tell of a promotion or a rollback, with the call that moves the champion back."""
    before = record.previous
    return make_event(
        record,
        EventType.CHAMPION_MOVED,
        f"Version {change.version} of {change.model} is champion"
        f"{'' if before is None else f' in place of version {before}'}"
        f" ({change.cause} by {change.principal}): {change.reason}",
        data={
            "cause": change.cause.value,
            "previous": before,
            "principal": change.principal,
            "reason": change.reason,
        },
        rollback=_undo(record.id, change, before),
    )


def service_changed(record: AuditRecord) -> Event:
    """Tell that a model was taken out of service or brought back, with the call for the other."""
    model, is_unloaded = record.model or "", record.action == "unload"
    reason = "" if record.reason is None else f": {record.reason}"
    what = "taken out of service" if is_unloaded else "brought back into service"
    return make_event(
        record,
        EventType.MODEL_UNLOADED if is_unloaded else EventType.MODEL_LOADED,
        f"{model} was {what} by {record.principal}{reason}",
        data={"principal": record.principal, "reason": record.reason},
        rollback=_repository_call(model, "load" if is_unloaded else "unload", record.id),
    )


def version_published(record: AuditRecord) -> Event:
    return make_event(
        record,
        EventType.VERSION_PUBLISHED,
        f"Version {record.version} of {record.model} was published by {record.principal};"
        " it is not live until it is promoted.",
        data={"principal": record.principal, "digest": record.digest},
    )


def version_retired(record: AuditRecord) -> Event:
    return make_event(
        record,
        EventType.VERSION_RETIRED,
        f"Version {record.version} of {record.model} was retired by {record.principal}:"
        f" {record.reason}",
        data={"principal": record.principal, "reason": record.reason},
    )


def version_not_loaded(view: Reader, record: AuditRecord) -> Event:
    """Tell that a worker cannot load a version, and the way back if that is the champion."""
    summary = f"A worker cannot load version {record.version} of {record.model}: {record.reason}"
    return _trouble(view, record, EventType.VERSION_NOT_LOADED, summary)


def finding_opened(view: Reader, record: AuditRecord, finding: Finding) -> Event:
    """Tell that traffic left its reference, with the call that puts the champion before back."""
    return make_event(
        record,
        EventType.FINDING_OPENED,
        f"{finding.feature} of {finding.model}/{finding.version}: {record.reason}",
        data=msgspec.to_builtins(finding),
        rollback=champion_rollback(view, finding.model, record.id),
    )


def finding_ended(record: AuditRecord, finding: Finding) -> Event:
    return make_event(
        record,
        EventType.FINDING_ENDED,
        f"{finding.feature} of {finding.model}/{finding.version}: {record.action}"
        f" by {record.principal}, {record.reason}",
        data=msgspec.to_builtins(finding),
    )


def fallback_changed(view: Reader, record: AuditRecord, *, has_begun: bool) -> Event:
    """Tell that a version stands in for the champion, or does no longer."""
    model, champion = record.model or "", record.previous
    what = "answers" if has_begun else "answers no longer"
    return make_event(
        record,
        EventType.FALLBACK_BEGUN if has_begun else EventType.FALLBACK_ENDED,
        f"Version {record.version} of {model} {what} in place of champion {champion}:"
        f" {record.reason}",
        data={"champion": champion, "reason": record.reason},
        rollback=champion_rollback(view, model, record.id) if has_begun else None,
    )


def contract_suspended(view: Reader, record: AuditRecord) -> Event:
    """Tell that rules which reject only flag for now, and the way back if that is the champion."""
    summary = (
        f"The rules of version {record.version} of {record.model} that reject only flag for now:"
        f" {record.reason}"
    )
    return _trouble(view, record, EventType.CONTRACT_SUSPENDED, summary)


def contract_resumed(record: AuditRecord) -> Event:
    return make_event(
        record,
        EventType.CONTRACT_RESUMED,
        f"The rules of version {record.version} of {record.model} reject again.",
    )


def rollout_changed(
    view: Reader,
    record: AuditRecord,
    rollout: Rollout,
    action: Action,
    assessment: Assessment | None,
) -> Event:
    """Tell what became of a rollout, with the call that ends it, or undoes its promotion."""
    kind, what = _ROLLOUT_NEWS[action]
    if action is Action.PROMOTE:
        call = champion_rollback(view, rollout.model, record.id)
    else:
        call = None if rollout.phase.is_over else _abort(rollout.id, record.id)
    return make_event(
        record,
        kind,
        f"Version {rollout.plan.challenger} of {rollout.model}, against champion"
        f" {rollout.champion}: {what.format(stage=rollout.stage_name)},"
        f" by {record.principal}: {record.reason}",
        data={
            "rollout": rollout.id,
            "champion": rollout.champion,
            "phase": rollout.phase.value,
            "stage": rollout.stage,
            "points": rollout.points,
            "principal": record.principal,
            "reason": record.reason,
            "assessment": msgspec.to_builtins(assessment),
        },
        rollback=call,
    )


def champion_rollback(view: Reader, model: str, record_id: str) -> Rollback | None:
    """Write the call that puts the champion before the present one back, if there is one.

    `record_id` is that of the record on account of which somebody might want to.
    """
    retired = frozenset(v.number for v in view.versions(model) if v.state is VersionState.RETIRED)
    history = [change for change in view.alias_changes(model) if change.alias == CHAMPION]
    try:
        target = rollback_target(model, history, retired, None)
    except NothingToRollBackTo:
        return None
    return _rollback_to(model, target, record_id)


def _rollback_to(model: str, version: int, record_id: str) -> Rollback:
    reason = _reason(record_id)
    return Rollback(
        method="POST",
        path=f"/admin/models/{model}/rollback",
        body={"version": version, "reason": reason},
        command=f"registry rollback {model} --version {version} --reason {shlex.quote(reason)}",
    )


def _abort(rollout_id: str, record_id: str) -> Rollback:
    reason = _reason(record_id)
    return Rollback(
        method="POST",
        path=f"/admin/rollouts/{rollout_id}/abort",
        body={"reason": reason},
        command=f"gateway rollout abort {rollout_id} --reason {shlex.quote(reason)}",
    )


def _repository_call(model: str, verb: str, record_id: str) -> Rollback:
    return Rollback(
        method="POST",
        path=f"/v2/repository/models/{model}/{verb}",
        body={"parameters": {"reason": _reason(record_id)}},
        command=None,
    )


def _undo(record_id: str, change: AliasChange, before: int | None) -> Rollback:
    """Write the call that undoes a move of the champion: after a rollback, to promote again.

    Before a first champion nothing answered, so that is undone by taking the model out of service.
    """
    if before is None:
        return _repository_call(change.model, "unload", record_id)
    if change.cause is AliasCause.PROMOTE:
        return _rollback_to(change.model, before, record_id)
    reason = _reason(record_id)
    return Rollback(
        method="POST",
        path=f"/admin/models/{change.model}/promotions",
        body={"version": before, "reason": reason},
        command=f"registry promote {change.model} {before} --reason {shlex.quote(reason)}",
    )


def _reason(record_id: str) -> str:
    return f"on account of record {record_id}"


def _trouble(view: Reader, record: AuditRecord, kind: EventType, summary: str) -> Event:
    """Tell of trouble with a version, with the call that puts the champion before it back, where it
    is the champion and there is one.
    """
    model = record.model or ""
    is_champion = view.aliases(model).get(CHAMPION) == record.version
    return make_event(
        record,
        kind,
        summary,
        data={"reason": record.reason, "is_champion": is_champion},
        rollback=champion_rollback(view, model, record.id) if is_champion else None,
    )
