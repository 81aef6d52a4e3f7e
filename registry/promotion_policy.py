"""What a version needs before it may become champion: the policy of a model, and what of it a
version lacks. Decisions only, no storage.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from registry.errors import InvalidRequest, clip
from registry.promotion_evidence import Check, Evidence, RolloutEvidence, TruthScore
from registry.rollouts import GuardKind, MetricKind, Phase, Verdict

NOBODY = "nobody"

_SECOND_PERSON = "second_person"
_MOST_HOURS = 24 * 90
_MOST_COUNT = 1_000_000_000
_MOST_METRICS = 20


class RolloutNeed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A rollout against the present champion, every stage of which is passed.

    The version had at least so many requests in shadow and as canary, guards of these kinds were
    declared, for each kind in `margins` one that allowed no more, and all guards were non-inferior
    when each stage was passed.
    """

    shadow_requests: int = 0
    canary_requests: int = 0
    guards: tuple[GuardKind, ...] = ()
    margins: Mapping[GuardKind, float] = {}


class TruthNeed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A metric from matured ground truth, on so many labels, whose whole interval is in bounds."""

    metric: str
    labels: int = 1
    at_least: float | None = None
    at_most: float | None = None


class PromotionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a version of a model; by default nothing.

    Where `second_person` holds, nobody promotes alone: a request waits `request_hours` for somebody
    else. `certificate` asks that admission ran the version, and found no two answers to one input.
    Holders of the role `break_glass` may promote by force past all of it; `nobody` may, where it
    says so. Findings that hold promotions do so whatever this policy says: that is the drift
    policy's.
    """

    second_person: bool = False
    request_hours: float = 72.0
    break_glass: str = "deployer"
    certificate: bool = False
    rollout: RolloutNeed | None = None
    truth: tuple[TruthNeed, ...] = ()


class PolicyFault(Struct, frozen=True):
    """What of a policy cannot be obeyed: the way to the member to blame, and why."""

    place: tuple[str | int, ...]
    reason: str


def find_fault(policy: PromotionPolicy, roles: frozenset[str]) -> PolicyFault | None:
    """Say what of a policy cannot be obeyed, with the roles that there are; None where all can.

    >>> find_fault(PromotionPolicy(request_hours=0), frozenset({"deployer"})).place
    ('request_hours',)
    """
    return next(_faults(policy, roles), None)


def check_promotion_policy(policy: PromotionPolicy, roles: frozenset[str]) -> None:
    """Accept a policy that can be obeyed. Raises InvalidRequest."""
    fault = find_fault(policy, roles)
    if fault is not None:
        place = ".".join(str(step) for step in fault.place)
        message = f"This promotion policy cannot be obeyed: in `{place}`, {fault.reason}."
        raise InvalidRequest("promotion-policy", message)


def checks(policy: PromotionPolicy, evidence: Evidence) -> tuple[Check, ...]:
    """Hold evidence against a policy: each thing that is asked, and what was found."""
    return tuple(_checks(policy, evidence))


def second_person_check(policy: PromotionPolicy) -> Check:
    """Say whether one person is enough, before anybody else was asked."""
    return Check(
        name=_SECOND_PERSON,
        need="the approval of another person",
        is_met=not policy.second_person,
        found="nobody has approved" if policy.second_person else "the policy asks for none",
    )


def lacking(found: tuple[Check, ...]) -> list[str]:
    """Say in words what is asked and not there."""
    return [f"{check.need} ({check.found})" for check in found if not check.is_met]


def _checks(policy: PromotionPolicy, evidence: Evidence) -> Iterator[Check]:
    yield from _finding_checks(evidence)
    if policy.certificate:
        yield _certificate_check(evidence)
    if policy.rollout is not None:
        yield from _rollout_checks(policy.rollout, evidence.rollout)
    scores = {score.metric: score for score in evidence.truth}
    for need in policy.truth:
        yield _truth_check(need, scores.get(need.metric))


def _finding_checks(evidence: Evidence) -> Iterator[Check]:
    need = "no open finding of the champion that holds promotions"
    if not evidence.findings:
        yield Check(name="findings", need=need, is_met=True, found="none is open")
    for one in evidence.findings:
        found = f"{one.feature}: {one.statistic}"
        yield Check(name=one.id, need=need, is_met=False, found=found)


def _certificate_check(evidence: Evidence) -> Check:
    need = "admission ran the version, and found no two answers to one input"
    certificate = evidence.certificate
    if certificate is None or certificate.run_ms is None:
        found = "it ran on nothing that admission tried"
        return Check(name="certificate", need=need, is_met=False, found=found)
    if certificate.is_deterministic is False:
        found = "the same input gets other answers"
        return Check(name="certificate", need=need, is_met=False, found=found)
    found = f"it ran in {certificate.run_ms:.3g} ms on {certificate.runtime}"
    return Check(name="certificate", need=need, is_met=True, found=found)


def _rollout_checks(need: RolloutNeed, shown: RolloutEvidence | None) -> Iterator[Check]:
    yield Check(
        name="rollout",
        need="a rollout against the present champion that passed, all its guards non-inferior",
        is_met=shown is not None and _has_passed(shown),
        found="there is none" if shown is None else f"rollout {shown.rollout} is {shown.phase}",
    )
    for lane, fewest, came in (
        ("shadow", need.shadow_requests, 0 if shown is None else shown.shadow_requests),
        ("canary", need.canary_requests, 0 if shown is None else shown.canary_requests),
    ):
        if fewest:
            yield Check(
                name=f"rollout.{lane}_requests",
                need=f"at least {fewest:,} {lane} requests",
                is_met=came >= fewest,
                found=f"{came:,} came",
            )
    least = _least_margins(shown)
    for kind in need.guards:
        yield Check(
            name=f"rollout.guards.{kind}",
            need=f"a guard on {kind}",
            is_met=kind in least,
            found="it was judged" if kind in least else "none was judged",
        )
    for kind, most in need.margins.items():
        yield Check(
            name=f"rollout.margins.{kind}",
            need=f"a guard on {kind} with a margin of at most {most:g}",
            is_met=kind in least and least[kind] <= most,
            found=f"its margin was {least[kind]:g}" if kind in least else "none was judged",
        )


def _has_passed(shown: RolloutEvidence) -> bool:
    verdicts = {
        verdict
        for one in shown.assessments
        for verdict in (one.verdict, *(judged.verdict for judged in one.judgements))
    }
    return shown.phase is Phase.PASSED and verdicts == {Verdict.NON_INFERIOR}


def _least_margins(shown: RolloutEvidence | None) -> dict[GuardKind, float]:
    """Return the margin of the strictest guard that was judged of each kind."""
    least: dict[GuardKind, float] = {}
    for one in () if shown is None else shown.assessments:
        for guard in (judged.guard for judged in one.judgements):
            least[guard.kind] = min(guard.margin, least.get(guard.kind, guard.margin))
    return least


def _truth_check(need: TruthNeed, score: TruthScore | None) -> Check:
    bounds = [
        *([] if need.at_least is None else [f"at least {need.at_least:g}"]),
        *([] if need.at_most is None else [f"at most {need.at_most:g}"]),
    ]
    return Check(
        name=f"truth.{need.metric}",
        need=f"{need.metric} from {need.labels:,} labels, its interval {' and '.join(bounds)}",
        is_met=score is not None and _is_within(need, score),
        found="no ground truth has matured"
        if score is None
        else f"{score.value:.4g}, from {score.low:.4g} to {score.high:.4g}, on {score.labels:,}",
    )


def _is_within(need: TruthNeed, score: TruthScore) -> bool:
    # Written so that no comparison with a score that is no number holds.
    return (
        score.labels >= need.labels
        and (need.at_least is None or score.low >= need.at_least)
        and (need.at_most is None or score.high <= need.at_most)
    )


def _faults(policy: PromotionPolicy, roles: frozenset[str]) -> Iterator[PolicyFault]:
    if not 0 < policy.request_hours <= _MOST_HOURS:
        reason = f"a request lasts more than 0 and at most {_MOST_HOURS:,} hours"
        yield PolicyFault(("request_hours",), reason)
    if policy.break_glass != NOBODY and policy.break_glass not in roles:
        reason = f"the role is one of {', '.join(sorted(roles))}, or {NOBODY}"
        yield PolicyFault(("break_glass",), reason)
    if policy.rollout is not None:
        yield from _rollout_faults(policy.rollout)
    if len(policy.truth) > _MOST_METRICS:
        yield PolicyFault(("truth",), f"there are at most {_MOST_METRICS} metrics")
    for index, need in enumerate(policy.truth):
        yield from _truth_faults(policy, index, need)


def _rollout_faults(need: RolloutNeed) -> Iterator[PolicyFault]:
    for member in ("shadow_requests", "canary_requests"):
        if not 0 <= getattr(need, member) <= _MOST_COUNT:
            reason = f"a number of requests is from 0 to {_MOST_COUNT:,}"
            yield PolicyFault(("rollout", member), reason)
    for kind, most in need.margins.items():
        if not 0 < most < float("inf"):
            yield PolicyFault(("rollout", "margins", kind), "a margin is a number above 0")


def _truth_faults(policy: PromotionPolicy, index: int, need: TruthNeed) -> Iterator[PolicyFault]:
    place: tuple[str | int, ...] = ("truth", index)
    if need.metric not in set(MetricKind):
        reason = f"there is no metric {clip(need.metric)!r}; there are {', '.join(MetricKind)}"
        yield PolicyFault((*place, "metric"), reason)
    if any(one.metric == need.metric for one in policy.truth[:index]):
        yield PolicyFault((*place, "metric"), "the metric is named before")
    if not 1 <= need.labels <= _MOST_COUNT:
        reason = f"a number of labels is from 1 to {_MOST_COUNT:,}"
        yield PolicyFault((*place, "labels"), reason)
    low, high = need.at_least, need.at_most
    if low is None and high is None:
        yield PolicyFault(place, "a metric has a bound, `at_least` or `at_most`")
    if low is not None and high is not None and low > high:
        reason = "no interval is above `at_least` and below `at_most` at once"
        yield PolicyFault((*place, "at_most"), reason)
    for member in ("at_least", "at_most"):
        bound = getattr(need, member)
        if bound is not None and not abs(bound) < float("inf"):
            yield PolicyFault((*place, member), "a bound is a finite number")
