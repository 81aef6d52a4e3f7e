"""What a promotion would stand on now: the version, the champion, the policy and the evidence, read
from one state of the store; and what of it has changed since somebody asked.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from registry.drift_policy import holding
from registry.errors import ApprovalNeeded, ForceNotAllowed, PromotionHeld
from registry.lifecycle import check_promotion
from registry.manifest import Manifest
from registry.phases import Action
from registry.promotion_evidence import (
    Check,
    Evidence,
    HoldingFinding,
    RolloutEvidence,
    TruthScore,
)
from registry.promotion_policy import (
    NOBODY,
    PromotionPolicy,
    checks,
    lacking,
    second_person_check,
)
from registry.promotions import Promotion
from registry.reader import Reader
from registry.rollouts import Assessment, Rollout, RolloutChange
from registry.versions import CHAMPION, Version
from registry.workers import SettingName


class Case(Struct, frozen=True, kw_only=True):
    """A version that somebody wants to promote, and all that decides whether they may.

    `since` is the id of the record that made the champion what it is; None where nothing did.
    """

    version: Version
    champion: int | None
    since: str | None
    policy: PromotionPolicy
    evidence: Evidence
    checks: tuple[Check, ...]

    @property
    def lacking(self) -> list[str]:
        """What is asked and not there, in words."""
        return lacking(self.checks)

    @property
    def all_checks(self) -> list[Check]:
        """All that lets one person promote the version now."""
        return [*self.checks, second_person_check(self.policy)]


def promotion_policy(view: Reader, model: str) -> PromotionPolicy:
    """Return what is set for a model, or what holds where nothing is."""
    for one in view.settings():
        if one.name is SettingName.PROMOTION and one.model == model:
            return msgspec.json.decode(one.value, type=PromotionPolicy)
    return PromotionPolicy()


def consider(
    view: Reader,
    version: Version,
    read_manifest: Callable[[Version], Manifest],
    scores: Sequence[TruthScore],
) -> Case:
    """Gather what a promotion would stand on, as far as the policy asks or a person is to see it.

    `scores` are those of the version from ground truth. Raises VersionRetired and AlreadyChampion.
    """
    history = [one for one in view.alias_changes(version.model) if one.alias == CHAMPION]
    champion = history[-1].version if history else None
    check_promotion(version, champion)
    policy = promotion_policy(view, version.model)
    is_certified = policy.certificate or policy.second_person
    evidence = Evidence(
        certificate=read_manifest(version).certificate if is_certified else None,
        findings=tuple(
            HoldingFinding(id=one.id, feature=one.feature, statistic=one.statistic)
            for one in holding(view, version.model)
        ),
        rollout=_rollout_evidence(view, version, champion),
        truth=tuple(scores),
    )
    return Case(
        version=version,
        champion=champion,
        since=history[-1].record_id if history else None,
        policy=policy,
        evidence=evidence,
        checks=checks(policy, evidence),
    )


def pass_alone(case: Case, roles: frozenset[str] | None, *, by_force: bool) -> list[Check]:
    """Let one person promote a version now, and return what force passes over to do so.

    `roles` are theirs; None stands for all. Raises PromotionHeld, ApprovalNeeded, ForceNotAllowed.
    """
    model, number, policy = case.version.model, case.version.number, case.policy
    if by_force:
        skipped = [check for check in case.all_checks if not check.is_met]
        role = policy.break_glass
        if skipped and (role == NOBODY or (roles is not None and role not in roles)):
            raise ForceNotAllowed(model, role)
        return skipped
    if case.lacking:
        raise PromotionHeld(model, number, case.lacking)
    if policy.second_person:
        raise ApprovalNeeded(model, number)
    return []


def changes(promotion: Promotion, case: Case) -> list[str]:
    """Say what a request is bound to and is no longer so; nothing where it still stands.

    Metrics from ground truth come in all the time: they have changed where one is out of its
    bounds now. Of everything else, what was shown must be what is there.
    """
    found = []
    version, shown, there = case.version, promotion.evidence, case.evidence
    if (version.artifact, version.manifest) != (promotion.artifact, promotion.manifest):
        found.append("the version is another file")
    if (case.champion, case.since) != (promotion.champion, promotion.since):
        found.append("the champion was moved")
    if case.policy != promotion.policy:
        found.append("the promotion policy was changed")
    if there.rollout != shown.rollout:
        found.append("its rollout is not as it was shown")
    if there.findings != shown.findings:
        found.append("the findings are not those that were shown")
    else:
        found += [f"this is asked and not there now: {one}" for one in case.lacking]
    return found


def _rollout_evidence(
    view: Reader, version: Version, champion: int | None
) -> RolloutEvidence | None:
    for rollout in view.rollouts(version.model):  # newest first
        if (rollout.plan.challenger, rollout.champion) == (version.number, champion):
            passed = _passed(view.rollout_changes(rollout.id))
            return RolloutEvidence(
                rollout=rollout.id,
                phase=rollout.phase,
                assessments=tuple(passed[stage] for stage in sorted(passed)),
                shadow_requests=_requests(rollout, passed, is_shadow=True),
                canary_requests=_requests(rollout, passed, is_shadow=False),
            )
    return None


def _passed(history: Sequence[RolloutChange]) -> dict[int, Assessment]:
    """Find what was judged as each stage was passed."""
    return {
        one.assessment.stage: one.assessment
        for one in history
        if one.assessment is not None and one.action in {Action.ADVANCE, Action.PASS}
    }


def _requests(rollout: Rollout, passed: dict[int, Assessment], *, is_shadow: bool) -> int:
    has_shadow = rollout.plan.shadow is not None
    return sum(
        one.requests for stage, one in passed.items() if (has_shadow and stage == 0) is is_shadow
    )
