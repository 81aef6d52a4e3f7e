"""What people are told of promotions that wait for somebody, and of those by force."""

import shlex
from collections.abc import Sequence

import msgspec

from registry.announcing import champion_rollback, make_event
from registry.entry import new_record_id
from registry.events import Event, EventType, Rollback
from registry.promotion_evidence import Check
from registry.promotions import Promotion, PromotionState
from registry.reader import Reader
from registry.records import AuditRecord
from registry.times import to_us
from registry.versions import AliasChange, Version

_DECIDED = {
    PromotionState.APPROVED: EventType.PROMOTION_APPROVED,
    PromotionState.REJECTED: EventType.PROMOTION_REJECTED,
    PromotionState.EXPIRED: EventType.PROMOTION_EXPIRED,
}


def promotion_requested(record: AuditRecord, promotion: Promotion) -> Event:
    """Tell that a promotion waits for another person, with the call that rejects it."""
    reason = f"on account of record {record.id}"
    return make_event(
        record,
        EventType.PROMOTION_REQUESTED,
        f"{promotion.author} asks to promote version {promotion.version} of {promotion.model};"
        f" another person is to decide by {promotion.expires:%Y-%m-%d %H:%M} UTC:"
        f" {promotion.reason}",
        data=_data(promotion),
        rollback=Rollback(
            method="POST",
            path=f"/admin/promotions/{promotion.id}/reject",
            body={"reason": reason},
            command=f"gateway promotions reject {promotion.id} --reason {shlex.quote(reason)}",
        ),
    )


def promotion_decided(record: AuditRecord, promotion: Promotion) -> Event:
    """Tell what became of a request to promote a version."""
    return make_event(
        record,
        _DECIDED[promotion.state],
        f"The request of {promotion.author} to promote version {promotion.version} of"
        f" {promotion.model} is {promotion.state}, by {promotion.by}: {promotion.decision}",
        data=_data(promotion),
    )


def promotion_forced(
    view: Reader, version: Version, change: AliasChange, skipped: Sequence[Check]
) -> Event:
    """Tell loudly that a version was promoted past what its policy asks, and past what of it."""
    named = "; ".join(f"{check.need} ({check.found})" for check in skipped)
    return Event(
        id=new_record_id(to_us(change.at) * 1000),
        type=EventType.PROMOTION_FORCED,
        model=version.model,
        version=version.number,
        time=change.at,
        summary=f"{change.principal} promoted version {version.number} of {version.model} BY FORCE,"
        f" past: {named}. The reason given: {change.reason}",
        data={
            "principal": change.principal,
            "reason": change.reason,
            "skipped": msgspec.to_builtins(list(skipped)),
        },
        record_id=change.record_id,
        rollback=champion_rollback(view, version.model, change.record_id),
    )


def _data(promotion: Promotion) -> dict[str, object]:
    return {
        "promotion": promotion.id,
        "state": promotion.state.value,
        "author": promotion.author,
        "reason": promotion.reason,
        "expires": promotion.expires.isoformat(),
        "evidence": promotion.evidence_digest,
        "checks": msgspec.to_builtins(promotion.checks),
        "by": promotion.by,
        "decision": promotion.decision,
    }
