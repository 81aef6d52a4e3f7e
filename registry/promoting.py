"""Promotions that another person has to approve: asked for, approved, rejected, expired; and the
policy that says which.

Each verb is one transaction that contains its audit record, and what people are told of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from unicodedata import normalize

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from registry import service
from registry.announcing import announce
from registry.artifacts import digest_of
from registry.errors import (
    Conflict,
    PromotionHeld,
    PromotionNotFound,
    PromotionPending,
    PromotionStale,
    SelfApproval,
)
from registry.lifecycle import Decision, decide
from registry.names import check_reason
from registry.promotion_case import Case, changes
from registry.promotion_evidence import Check, TruthScore
from registry.promotion_news import promotion_decided, promotion_requested
from registry.promotion_policy import PromotionPolicy, check_promotion_policy
from registry.promotions import Promotion, PromotionState
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.records import AuditRecord
from registry.registry import Registry
from registry.rolling_out import find_passed
from registry.store import Transaction
from registry.truth_guards import check_metrics
from registry.truth_policy import truth_policy
from registry.versions import AliasChange
from registry.workers import SettingName

_TIME_IS_OVER = "nobody decided it in time"


class Review(Struct, frozen=True, kw_only=True):
    """A request as whoever decides must see it: `changes` says why it can not be approved any more,
    where something it is bound to has changed; it is empty where nothing has, and once it ended.
    """

    promotion: Promotion
    changes: list[str]


def set_promotion_policy(
    registry: Registry, model: str, policy: PromotionPolicy, roles: frozenset[str], author: Author
) -> None:
    """Set what a version of a model needs to become champion, with the roles that there are.

    Raises ModelNotFound, and InvalidRequest for a policy that cannot be obeyed.
    """
    check_promotion_policy(policy, roles)
    if policy.truth:
        signatures = [registry.manifest(one).signature for one in registry.versions(model)]
        check_metrics(policy.truth, truth_policy(registry.store, model), signatures)
    value = None if policy == PromotionPolicy() else msgspec.json.encode(policy).decode()
    service.change_setting(registry, SettingName.PROMOTION, model, lambda _: value, author)


def ask(
    registry: Registry,
    model: str,
    number: int,
    reason: str,
    author: Author,
    *,
    by_force: bool = False,
) -> AliasChange | Promotion:
    """Promote a version now, where its policy lets one person or force is used; else ask for it.

    Raises AlreadyChampion, VersionRetired, VersionNotFound, PromotionHeld for what the policy asks
    and is not there, PromotionPending where the same is asked already, and ForceNotAllowed.
    """
    check_reason(reason)
    scores = registry.scores(model, number)
    with registry.store.write() as tx:
        case = registry.consider(tx, model, number, scores)
        if by_force or not case.policy.second_person:
            return registry.promote_alone(tx, case, reason, author, by_force=by_force)
        return _hold(registry, tx, case, reason, author)


def ask_for_rollout(
    registry: Registry, rollout_id: str, reason: str, *, scores: Sequence[TruthScore] = ()
) -> Promotion:
    """Ask to promote the challenger of a rollout, in the name of whoever started it.

    It waits for a person whatever the policy: nobody has said yet that it is to be promoted.
    `scores` are the challenger's from ground truth, where the policy asks for them. Raises
    RolloutNotFound, RolloutOver, RolloutNotReady, and what `ask` raises.
    """
    check_reason(reason)
    with registry.store.write() as tx:
        rollout = find_passed(tx, rollout_id)
        case = registry.consider(tx, rollout.model, rollout.plan.challenger, scores)
        return _hold(registry, tx, case, reason, Author(principal=rollout.author))


def promotion_checks(registry: Registry, model: str, number: int) -> list[Check]:
    """Say what is asked of a promotion now; nothing where it cannot be asked for.

    Raises VersionNotFound and ModelNotFound.
    """
    scores = registry.scores(model, number)
    with registry.store.snapshot() as view:
        try:
            return registry.consider(view, model, number, scores).all_checks
        except Conflict:  # it is retired, or champion already
            return []


def approve(registry: Registry, promotion_id: str, reason: str, author: Author) -> AliasChange:
    """Make the version of a request the champion, as another person than the one who asked.

    It must still be the file that was shown, byte by byte: no worker loads another. Raises
    PromotionNotFound, PromotionDecided, PromotionExpired, SelfApproval, PromotionStale,
    VersionRetired, ArtifactNotFound and ArtifactDamaged.
    """
    check_reason(reason)
    asked = _promotion(registry.store, promotion_id)
    decide(asked, Decision.APPROVE, registry.clock())
    registry.artifacts.read(asked.artifact)  # it can take seconds, which no transaction may
    scores = registry.scores(asked.model, asked.version)
    with registry.store.write() as tx:
        at = registry.clock()
        promotion = _promotion(tx, promotion_id)
        decide(promotion, Decision.APPROVE, at)
        is_own = _person(tx, promotion.author) == _person(tx, author.principal)
        if is_own and promotion.policy.second_person:
            raise SelfApproval(promotion_id)
        case = registry.consider(tx, promotion.model, promotion.version, scores)
        changed = changes(promotion, case)
        if changed:
            raise PromotionStale(promotion_id, changed)
        _end(tx, promotion, Decision.APPROVE, reason=reason, author=author, at=at)
        asked_by = Author(principal=promotion.author)
        return registry.make_champion(tx, case, promotion.reason, asked_by, promotion=promotion_id)


def reject(registry: Registry, promotion_id: str, reason: str, author: Author) -> Promotion:
    """End a request; whoever made it may do so too.

    Raises PromotionNotFound, PromotionDecided and PromotionExpired.
    """
    check_reason(reason)
    with registry.store.write() as tx:
        promotion, at = _promotion(tx, promotion_id), registry.clock()
        return _end(tx, promotion, Decision.REJECT, reason=reason, author=author, at=at)


def expire_due(registry: Registry, author: Author) -> list[Promotion]:
    """End the requests that nobody decided in time, and return them."""
    at = registry.clock()
    if not _due(registry.store, at):
        return []
    with registry.store.write() as tx:
        return [
            _end(tx, one, Decision.EXPIRE, reason=_TIME_IS_OVER, author=author, at=at)
            for one in _due(tx, at)
        ]


def review(registry: Registry, promotion_id: str) -> Review:
    """Show a request as whoever decides must see it. Raises PromotionNotFound."""
    promotion = _promotion(registry.store, promotion_id)
    scores = registry.scores(promotion.model, promotion.version)
    with registry.store.snapshot() as view:
        return _review(registry, view, _promotion(view, promotion_id), scores)


def reviews(
    registry: Registry, model: str | None = None, *, only_pending: bool = False
) -> list[Review]:
    """Show the requests of a model, or of all, newest first; no metric is scored anew for that.

    Raises ModelNotFound.
    """
    if model is not None:
        registry.versions(model)
    with registry.store.snapshot() as view:
        found = view.promotions(model, only_pending=only_pending)
        return [_review(registry, view, one, one.evidence.truth) for one in found]


def _review(
    registry: Registry, view: Reader, promotion: Promotion, scores: Sequence[TruthScore]
) -> Review:
    if promotion.state is not PromotionState.PENDING:
        return Review(promotion=promotion, changes=[])
    return Review(promotion=promotion, changes=_changes(registry, view, promotion, scores))


def _changes(
    registry: Registry, view: Reader, promotion: Promotion, scores: Sequence[TruthScore]
) -> list[str]:
    model, number = promotion.model, promotion.version
    try:
        return changes(promotion, registry.consider(view, model, number, scores))
    except Conflict as refusal:  # it is retired, or champion already
        return [str(refusal)]


def _promotion(view: Reader, promotion_id: str) -> Promotion:
    promotion = view.promotion(promotion_id)
    if promotion is None:
        raise PromotionNotFound(promotion_id)
    return promotion


def _hold(
    registry: Registry, tx: Transaction, case: Case, reason: str, author: Author
) -> Promotion:
    version = case.version
    if case.lacking:
        raise PromotionHeld(version.model, version.number, case.lacking)
    at = registry.clock()
    _refuse_second(tx, case, at)
    evidence = digest_of(msgspec.json.encode(case.evidence))
    record = append_record(
        tx, "promotion.request", author, at,
        version=version, previous=case.champion, subject=evidence, reason=reason,
    )  # fmt: skip
    promotion = _make(case, record, evidence, at)
    tx.add_promotion(promotion)
    announce(tx, promotion_requested(record, promotion))
    return promotion


def _refuse_second(tx: Transaction, case: Case, at: datetime) -> None:
    """Refuse to ask again for what can still be approved. Raises PromotionPending."""
    model, number = case.version.model, case.version.number
    for one in tx.promotions(model, only_pending=True):
        if one.version == number and at < one.expires and not changes(one, case):
            raise PromotionPending(model, number, one.id)


def _make(case: Case, record: AuditRecord, evidence: str, at: datetime) -> Promotion:
    version = case.version
    return Promotion(
        id=record.id,
        model=version.model,
        version=version.number,
        artifact=version.artifact,
        manifest=version.manifest,
        champion=case.champion,
        since=case.since,
        policy=case.policy,
        evidence=case.evidence,
        evidence_digest=evidence,
        checks=case.checks,
        author=record.principal or "",
        reason=record.reason or "",
        requested=at,
        expires=at + timedelta(hours=case.policy.request_hours),
    )


def _end(
    tx: Transaction,
    promotion: Promotion,
    decision: Decision,
    *,
    reason: str,
    author: Author,
    at: datetime,
) -> Promotion:
    """Keep what became of a request, with its record, and let people know."""
    state = decide(promotion, decision, at)
    record = append_record(
        tx, f"promotion.{decision}", author, at,
        version=tx.version(promotion.model, promotion.version),
        subject=promotion.id, reason=reason,
    )  # fmt: skip
    ended = replace(
        promotion,
        state=state,
        decided=at,
        by=author.principal,
        decision=reason,
        record_id=record.id,
    )
    tx.change_promotion(ended)
    announce(tx, promotion_decided(record, ended))
    return ended


def _due(view: Reader, at: datetime) -> list[Promotion]:
    return [one for one in view.promotions(only_pending=True) if one.expires <= at]


def _person(view: Reader, principal: str) -> str:
    """Say who a principal is: the owner of a key where one is named, else the principal itself.

    Whoever makes keys writes a name as it comes: case and white space make nobody another person.
    """
    owner = next((key.owner for key in view.api_keys() if key.id == principal), None)
    return " ".join(normalize("NFKC", owner or principal).casefold().split())
