"""What a rollout starts with: two versions that can be compared, the plan as it is kept, the points
of its callers, and the latencies that its guards count beyond.
"""

import secrets
from collections.abc import Sequence

from registry.errors import (
    LatencyUnmeasured,
    ModelNotFound,
    NoChampion,
    SharesExceeded,
    VersionNotFound,
)
from registry.lifecycle import check_promotion
from registry.plan_fit import check_alike, fit_plan
from registry.reader import Reader
from registry.registry import Registry
from registry.rollouts import POINTS, GuardKind, Plan, Rollout
from registry.truth_guards import fit_truth_guards
from registry.truth_policy import truth_policy
from registry.versions import CHAMPION, Version

_SALT_BYTES = 16


def find_versions(view: Reader, model: str, plan: Plan) -> tuple[Version, Version]:
    """Return the champion of a model, and the challenger that a plan names.

    Raises ModelNotFound, VersionNotFound, VersionRetired, NoChampion and AlreadyChampion.
    """
    challenger = view.version(model, plan.challenger)
    if challenger is None:
        if view.versions(model):
            raise VersionNotFound(model, plan.challenger)
        raise ModelNotFound(model)
    number = view.aliases(model).get(CHAMPION)
    check_promotion(challenger, number)
    champion = None if number is None else view.version(model, number)
    if champion is None:
        raise NoChampion(model)
    return champion, challenger


def fit_versions(registry: Registry, plan: Plan, champion: Version, challenger: Version) -> Plan:
    """Hold a plan against what two versions take and answer, and return it as it is to be kept.

    Raises SignatureDiffers and PlanRejected.
    """
    its, others = registry.manifest(champion), registry.manifest(challenger)
    check_alike(champion.model, champion.number, its.signature, challenger.number, others.signature)
    policy = truth_policy(registry.store, champion.model)
    return fit_truth_guards(fit_plan(plan, others), policy, others.signature)


def place_share(view: Reader, model: str, plan: Plan) -> tuple[str, int]:
    """Choose the salt of a rollout, and where its share of the points begins.

    All open rollouts of a model share a salt, and no point is in two of their shares. Some point is
    in none: without a champion there is nothing to compare with. Raises SharesExceeded.
    """
    others = [one for one in view.open_rollouts() if one.model == model]
    salt = others[0].salt if others else secrets.token_hex(_SALT_BYTES)
    wanted, base, most = plan.most_points, 0, 0
    free = POINTS - 1 - sum(one.plan.most_points for one in others)
    for begins, ends in [*sorted(_share(one) for one in others), (POINTS, POINTS)]:
        most = max(most, min(begins - base, free))
        if wanted <= most:
            return salt, base
        base = ends
    raise SharesExceeded(model, wanted, most)


def _share(rollout: Rollout) -> tuple[int, int]:
    return rollout.base, rollout.base + rollout.plan.most_points


def fix_edges(plan: Plan, champion: Version, edges_us: Sequence[int]) -> tuple[int, ...]:
    """Return the latency that each guard counts beyond. Raises LatencyUnmeasured."""
    edges = []
    for guard, measured_us in zip(plan.guards, edges_us, strict=True):
        stated_us = None if guard.edge_ms is None else max(1, round(guard.edge_ms * 1000))
        edge_us = measured_us if stated_us is None else stated_us
        if guard.kind is GuardKind.LATENCY and edge_us <= 0:
            raise LatencyUnmeasured(champion.model, champion.number, guard.quantile)
        edges.append(edge_us if guard.kind is GuardKind.LATENCY else 0)
    return tuple(edges)
