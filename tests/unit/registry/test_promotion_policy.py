"""What a policy asks, held against what is known of a version; and policies in files."""

from datetime import timedelta
from math import nan
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from registry.errors import InvalidRequest, Rejected
from registry.promotion_evidence import Evidence, HoldingFinding, RolloutEvidence, TruthScore
from registry.promotion_file import read_promotion_policy
from registry.promotion_policy import (
    PromotionPolicy,
    RolloutNeed,
    TruthNeed,
    check_promotion_policy,
    checks,
    lacking,
)
from registry.rollouts import Assessment, GuardKind, Judgement, Phase, Verdict
from tests.unit.registry.promotable import CERTIFICATE, ERRORS, NOON, ROLES

POLICY = """
second_person = true
request_hours = 24.0
break_glass = "admin"
certificate = true

[rollout]
shadow_requests = 1_000
guards = ["errors"]
margins = { errors = 2.0 }

[[truth]]
metric = "absolute_error"
labels = 500
at_most = 12.5
"""
SCORE = TruthScore(metric="absolute_error", labels=500, value=12.0, low=11.5, high=12.5)


def make_rollout(
    verdict: Verdict = Verdict.NON_INFERIOR, phase: Phase = Phase.PASSED
) -> RolloutEvidence:
    judgement = Judgement(guard=ERRORS, verdict=verdict, challenger=1_000, champion=1_000)
    assessment = Assessment(
        at=NOON + timedelta(hours=1), stage=0, verdict=Verdict.NON_INFERIOR, requests=1_000,
        judgements=(judgement,),
    )  # fmt: skip
    return RolloutEvidence(
        rollout="r", phase=phase, assessments=(assessment,),
        shadow_requests=1_000, canary_requests=0,
    )  # fmt: skip


def lacks(policy: PromotionPolicy, **evidence: object) -> list[str]:
    """Name what evidence lacks of a policy."""
    found = checks(policy, Evidence(**evidence))  # type: ignore[arg-type]
    unmet = [check.name for check in found if not check.is_met]
    assert len(lacking(found)) == len(unmet)
    return unmet


def test_a_policy_that_asks_for_nothing_lacks_nothing() -> None:
    assert lacks(PromotionPolicy()) == []


def test_a_finding_holds_whatever_the_policy() -> None:
    finding = HoldingFinding(id="f", feature="x[0]", statistic="missing")

    assert lacks(PromotionPolicy(), findings=(finding,)) == ["f"]


@pytest.mark.parametrize(
    ("shown", "unmet"),
    [
        (None, ["rollout", "rollout.shadow_requests", "rollout.guards.errors"]),
        (make_rollout(), []),
        (make_rollout(phase=Phase.CANARY), ["rollout"]),
        (make_rollout(phase=Phase.ROLLED_BACK), ["rollout"]),
        (make_rollout(phase=Phase.PROMOTED), ["rollout"]),
        (make_rollout(Verdict.UNDECIDED), ["rollout"]),
        (make_rollout(Verdict.WORSE), ["rollout"]),
        (replace(make_rollout(), shadow_requests=999), ["rollout.shadow_requests"]),
        (replace(make_rollout(), assessments=()), ["rollout", "rollout.guards.errors"]),
    ],
)
def test_a_rollout_is_evidence_only_if_it_passed_and_every_guard_was_non_inferior(
    shown: RolloutEvidence | None, unmet: list[str]
) -> None:
    need = RolloutNeed(shadow_requests=1_000, guards=(GuardKind.ERRORS,))

    assert lacks(PromotionPolicy(rollout=need), rollout=shown) == unmet


@pytest.mark.parametrize(
    ("margins", "unmet"),
    [
        ((2.0,), []),
        ((2.1,), ["rollout.margins.errors"]),
        ((3.0, 1.5), []),
        ((), ["rollout.margins.errors"]),
    ],
)
def test_a_margin_is_met_by_the_strictest_guard_of_its_kind(
    margins: tuple[float, ...], unmet: list[str]
) -> None:
    shown = make_rollout()
    [assessment] = shown.assessments
    judged = [
        replace(assessment.judgements[0], guard=replace(ERRORS, margin=margin))
        for margin in margins
    ] or [replace(assessment.judgements[0], guard=replace(ERRORS, kind=GuardKind.LATENCY))]
    shown = replace(shown, assessments=(replace(assessment, judgements=tuple(judged)),))

    need = RolloutNeed(margins={GuardKind.ERRORS: 2.0})
    assert lacks(PromotionPolicy(rollout=need), rollout=shown) == unmet


@pytest.mark.parametrize(
    ("score", "is_met"),
    [
        (SCORE, True),
        (replace(SCORE, high=12.51), False),
        (replace(SCORE, labels=499), False),
        (replace(SCORE, high=nan), False),
        (replace(SCORE, metric="rmse"), False),
    ],
)
def test_a_metric_is_met_by_its_whole_interval_on_enough_labels(
    score: TruthScore, is_met: bool
) -> None:
    policy = PromotionPolicy(truth=(TruthNeed(metric="absolute_error", labels=500, at_most=12.5),))

    assert (lacks(policy, truth=(score,)) == []) is is_met


def test_a_lower_bound_is_for_the_lower_end() -> None:
    policy = PromotionPolicy(truth=(TruthNeed(metric="absolute_error", at_least=11.6),))

    assert lacks(policy, truth=(SCORE,)) == ["truth.absolute_error"]
    assert lacks(policy, truth=(replace(SCORE, low=11.6),)) == []


@pytest.mark.parametrize(
    ("certificate", "is_met"),
    [
        (CERTIFICATE, True),
        (replace(CERTIFICATE, is_deterministic=None), True),
        (replace(CERTIFICATE, is_deterministic=False), False),
        (replace(CERTIFICATE, run_ms=None), False),
        (None, False),
    ],
)
def test_a_certificate_says_that_the_version_ran_and_answers_alike(
    certificate: object, is_met: bool
) -> None:
    assert (lacks(PromotionPolicy(certificate=True), certificate=certificate) == []) is is_met


def test_a_policy_in_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)

    policy = read_promotion_policy(path, ROLES)

    need = RolloutNeed(
        shadow_requests=1_000, guards=(GuardKind.ERRORS,), margins={GuardKind.ERRORS: 2.0}
    )
    assert policy == PromotionPolicy(
        second_person=True, request_hours=24, break_glass="admin", certificate=True,
        rollout=need, truth=(TruthNeed(metric="absolute_error", labels=500, at_most=12.5),),
    )  # fmt: skip
    other = tmp_path / "policy.json"
    other.write_bytes(msgspec.json.encode(policy))
    assert read_promotion_policy(other, ROLES) == policy


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("request_hours = 24.0", "request_hours = 0", 3, "hours"),
        ("request_hours = 24.0", "request_hours = nan", 3, "hours"),
        ("request_hours = 24.0", "request_hours = 2161", 3, "2,160"),
        ("request_hours = 24.0", 'request_hours = "1"', 3, "float"),
        ('"admin"', '"root"', 4, "admin, approver, deployer, or nobody"),
        ("certificate = true", "certificates = true", 5, "no member 'certificates'"),
        ("1_000", "-1", 8, "from 0"),
        ('["errors"]', '["speed"]', 9, "Invalid enum value"),
        ("errors = 2.0", "errors = 0", 10, "above 0"),
        ("errors = 2.0", "speed = 2.0", 10, "Invalid enum value"),
        ('metric = "absolute_error"', 'metric = ""', 13, "there is no metric ''"),
        # Nothing would ever be known of it, and the promotion be held for ever.
        ('metric = "absolute_error"', 'metric = "mae"', 13, "'mae'; there are accuracy, brier"),
        ("labels = 500", "labels = 0", 14, "from 1"),
        ("at_most = 12.5", "at_most = inf", 15, "finite"),
        ("at_most = 12.5", "", 12, "a bound"),
        ("at_most = 12.5", "at_most = 1\nat_least = 2", 15, "no interval"),
        (
            "at_most = 12.5",
            "at_most = 12.5\n\n[[truth]]\nmetric = 'absolute_error'\nat_most = 1",
            18,
            "before",
        ),
        ("second_person = true", "second_person = ", 2, "no TOML"),
    ],
)
def test_a_fault_in_a_file_is_told_by_its_line(
    tmp_path: Path, old: str, new: str, line: int, reason: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.replace(old, new))

    with pytest.raises(Rejected, match=f"policy.toml, line {line}: .*{reason}"):
        read_promotion_policy(path, ROLES)


def test_a_policy_that_is_no_file_is_refused_with_the_way_to_the_member() -> None:
    with pytest.raises(InvalidRequest, match=r"`truth\.0\.labels`"):
        policy = PromotionPolicy(truth=(TruthNeed(metric="absolute_error", labels=0, at_most=1),))
        check_promotion_policy(policy, ROLES)
