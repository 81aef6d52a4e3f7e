"""What plans and policies ask of ground truth, held against what a model's labels can say; pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from registry.errors import InvalidRequest, PlanRejected, clip
from registry.manifest import Signature
from registry.promotion_policy import TruthNeed
from registry.rollouts import Better, Guard, GuardKind, MetricKind, Plan
from registry.truth_policy import TruthPolicy, metrics_of, target_of


def fit_truth_guards(plan: Plan, policy: TruthPolicy, signature: Signature) -> Plan:
    """Return a plan whose guards on ground truth say which mean of their metric is the better one.

    Raises PlanRejected for a metric that the labels of the model do not give.
    """
    target = target_of(policy, signature)
    known = () if target is None else metrics_of(target)
    guards = (
        _fit(guard, number, known) if guard.kind is GuardKind.TRUTH else guard
        for number, guard in enumerate(plan.guards)
    )
    return replace(plan, guards=tuple(guards))


def check_metrics(
    needs: Sequence[TruthNeed], policy: TruthPolicy, signatures: Sequence[Signature]
) -> None:
    """Accept needs of metrics that the labels of a model's versions give. Raises InvalidRequest."""
    targets = (target_of(policy, signature) for signature in signatures)
    known = {metric for one in targets if one is not None for metric in metrics_of(one)}
    for need in needs:
        if need.metric not in known:
            given = ", ".join(one for one in MetricKind if one in known) or "no metric"
            raise InvalidRequest(
                "promotion-policy",
                "This promotion policy cannot be obeyed: no label of the model gives"
                f" {need.metric}; by its truth policy they give {given}.",
            )


def _fit(guard: Guard, number: int, known: Sequence[MetricKind]) -> Guard:
    metric = next((one for one in known if one == guard.metric), None)
    if metric is None:
        given = ", ".join(known) or "no metric"
        raise PlanRejected(
            ("guards", number, "metric"),
            f"{guard.kind}: there is no {clip(guard.metric or '')!r}; labels give {given}",
        )
    if guard.better is Better.EQUAL:
        return guard
    if guard.better is Better.LOWER and metric.better is Better.HIGHER:
        raise PlanRejected(
            ("guards", number, "better"), f"{guard.kind}: more of {metric} is better, not less"
        )
    return replace(guard, better=metric.better)
