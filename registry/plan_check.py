"""Whether a plan of a rollout makes sense, whatever versions it is of; asked once, at its start."""

from collections.abc import Iterator
from math import inf

from registry.errors import PlanRejected
from registry.names import is_unicode
from registry.plan_fit import refuse_repeated
from registry.rollouts import POINTS, Better, Guard, GuardKind, Plan, Step

Place = tuple[str | int, ...]

_MOST_GUARDS = 20
_MOST_STEPS = 50
_MOST_COLUMNS = 1_000_000
_MOST_REQUESTS = 1_000_000_000
_LONGEST_S = 366 * 86_400.0
_ALPHAS = (1e-12, 0.2)  # what each of many guards has of less is no number any more
_LONGEST_NAME = 200
_LONGEST_EDGE_MS = 600_000.0
_QUANTILES = (0.5, 0.999)
_LARGEST_RATIO = 100.0
# Means are counted in whole parts of the margin: beyond these there is no number of them.
_MEAN_MARGINS = (1e-30, 1e30)

_ON_OUTPUTS = frozenset({GuardKind.SHIFT, GuardKind.AGREEMENT, GuardKind.SCORE})
_OF_MEANS = frozenset({GuardKind.SCORE, GuardKind.TRUTH})
_MARGINS = {
    GuardKind.AGREEMENT: "`margin` is a share of pairs, above 0 and below 1",
    GuardKind.SCORE: "`margin` is from 1e-30 to 1e30, in the unit of the output",
    GuardKind.TRUTH: "`margin` is from 1e-30 to 1e30, in the unit of the metric",
}
_RATIO = f"`margin` is a ratio of rates, above 1 and at most {_LARGEST_RATIO:g}"
# The members of a guard that only some kinds have, and what they are where they are not given.
_SPECIAL = {
    "output": (None, _ON_OUTPUTS),
    "column": (None, _ON_OUTPUTS),
    "quantile": (0.95, {GuardKind.LATENCY}),
    "edge_ms": (None, {GuardKind.LATENCY}),
    "tolerance": (0.0, {GuardKind.AGREEMENT}),
    "better": (Better.HIGHER, _OF_MEANS),
    "metric": (None, {GuardKind.TRUTH}),
}


def check_plan(plan: Plan) -> None:
    """Accept a plan that makes sense, whatever versions it is of. Raises PlanRejected."""
    for place, is_fault, text in _settings_faults(plan):
        if is_fault:
            raise PlanRejected(place, text)
    for number, guard in enumerate(plan.guards):
        _check_guard(guard, number)
    refuse_repeated(plan)
    _check_stages(plan)


def _settings_faults(plan: Plan) -> Iterator[tuple[Place, bool, str]]:
    """Say of each member whether it is at fault, and what would be right."""
    guards, steps = len(plan.guards), len(plan.steps)
    yield ("challenger",), plan.challenger < 1, "`challenger` is the number of a version"
    yield ("guards",), guards == 0, "a rollout needs a guard: say what must not be worse"
    yield ("guards",), guards > _MOST_GUARDS, f"at most {_MOST_GUARDS} guards are judged"
    yield (), not plan.stages, "a rollout needs a shadow, or a step"
    yield ("steps",), steps > _MOST_STEPS, f"at most {_MOST_STEPS} steps are taken"
    low, high = _ALPHAS
    is_chance = low <= plan.alpha <= high
    yield ("alpha",), not is_chance, f"`alpha` is a chance from {low:g} to {high:g}"
    is_time = 0 < plan.max_s <= _LONGEST_S
    yield ("max_s",), not is_time, f"`max_s` are seconds above 0 and at most {_LONGEST_S:,.0f}"
    if plan.segment is not None:
        is_name = 0 < len(plan.segment) <= _LONGEST_NAME and is_unicode(plan.segment)
        yield ("segment",), not is_name, "`segment` is the name of a request parameter"
        lacks_pairs = plan.shadow is None
        yield ("segment",), lacks_pairs, "`segment` is of the pairs of a shadow; there is none"


def _check_stages(plan: Plan) -> None:
    before = 0
    for place, step, is_shadow in _stages(plan):
        for member, is_fault, text in _step_faults(step, is_shadow=is_shadow):
            if is_fault:
                raise PlanRejected((*place, member), text)
        if not any(guard.judges(is_shadow=is_shadow) for guard in plan.guards):
            stage = "shadow" if is_shadow else "canary"
            raise PlanRejected(place, f"no guard of the plan can judge in {stage}")
        if not is_shadow:
            if step.points < before:
                fault = f"a share does not fall, and it was {before:,} points before"
                raise PlanRejected((*place, "points"), fault)
            before = step.points
    least_s = sum(step.min_s for step in plan.stages)
    if least_s >= plan.max_s:
        fault = f"the stages last {least_s:,.0f} seconds at least, which `max_s` has to be beyond"
        raise PlanRejected(("max_s",), fault)


def _step_faults(step: Step, *, is_shadow: bool) -> Iterator[tuple[str, bool, str]]:
    most, why = POINTS, ""
    if not is_shadow:
        most, why = POINTS - 1, "; at 100 % no champion would be left to compare with"
    is_share = 1 <= step.points <= most
    yield "points", not is_share, f"`points` are from 1 to {most:,} of {POINTS:,}{why}"
    is_count = 1 <= step.min_requests <= _MOST_REQUESTS
    yield "min_requests", not is_count, f"`min_requests` are from 1 to {_MOST_REQUESTS:,}"
    is_time = 0 <= step.min_s <= _LONGEST_S
    yield "min_s", not is_time, f"`min_s` are seconds from 0 to {_LONGEST_S:,.0f}"


def _stages(plan: Plan) -> Iterator[tuple[Place, Step, bool]]:
    if plan.shadow is not None:
        yield ("shadow",), plan.shadow, True
    for number, step in enumerate(plan.steps):
        yield ("steps", number), step, False


def _check_guard(guard: Guard, number: int) -> None:
    for member, is_fault, text in _guard_faults(guard):
        if is_fault:
            raise PlanRejected(("guards", number, member), f"{guard.kind}: {text}")


def _guard_faults(guard: Guard) -> Iterator[tuple[str, bool, str]]:
    for member, (default, kinds) in _SPECIAL.items():
        is_strange = guard.kind not in kinds and getattr(guard, member) != default
        yield member, is_strange, f"such a guard has no `{member}`"
    yield "margin", not _is_margin(guard), _MARGINS.get(guard.kind, _RATIO)
    is_column = guard.column is None or 0 <= guard.column < _MOST_COLUMNS
    yield "column", not is_column, f"`column` is from 0, and below {_MOST_COLUMNS:,}"
    low, high = _QUANTILES
    yield "quantile", not low <= guard.quantile <= high, f"`quantile` is from {low} to {high}"
    edge_ms = 1.0 if guard.edge_ms is None else guard.edge_ms
    is_edge = 0.001 <= edge_ms <= _LONGEST_EDGE_MS
    yield "edge_ms", not is_edge, f"`edge_ms` is from 0.001 to {_LONGEST_EDGE_MS:,.0f}"
    yield "tolerance", not 0 <= guard.tolerance < inf, "`tolerance` is a number from 0 on"
    metric = guard.metric or ""
    is_name = 0 < len(metric) <= _LONGEST_NAME and is_unicode(metric)
    lacks_name = guard.kind is GuardKind.TRUTH and not is_name
    yield "metric", lacks_name, "`metric` names one of the model's ground truth"


def _is_margin(guard: Guard) -> bool:
    if guard.kind in _OF_MEANS:
        least, most = _MEAN_MARGINS
        return least <= guard.margin <= most
    if guard.kind is GuardKind.AGREEMENT:
        return 0 < guard.margin < 1
    return 1 < guard.margin <= _LARGEST_RATIO
