"""Requests to promote a version that wait for another person, as frozen values. Times are UTC."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from registry.promotion_evidence import Check, Evidence
from registry.promotion_policy import PromotionPolicy


class PromotionState(StrEnum):
    PENDING = "pending"  # it waits for another person
    APPROVED = "approved"  # another person approved it, and the version became champion
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody decided it in time


class Promotion(Struct, frozen=True, kw_only=True):
    """A request to promote a version, and what became of it.

    `id` is that of the record of the request. It is bound to the version's artifact and manifest;
    to the champion of that time, and `since`, the id of the record which made it champion; to the
    policy; and to the evidence, as it is shown to whoever decides, which the record names by
    `evidence_digest`. `checks` says what the policy asked and what was found. When it ended, by
    whom, why, and in which record is in `decided`, `by`, `decision` and `record_id`.
    """

    id: str
    model: str
    version: int
    artifact: str
    manifest: str
    champion: int | None
    since: str | None
    policy: PromotionPolicy
    evidence: Evidence
    evidence_digest: str
    checks: tuple[Check, ...]
    author: str
    reason: str
    requested: datetime
    expires: datetime
    state: PromotionState = PromotionState.PENDING
    decided: datetime | None = None
    by: str | None = None
    decision: str | None = None
    record_id: str | None = None
