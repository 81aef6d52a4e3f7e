"""Whether a version is as good for each part of its rows as for the rest; pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from statistics import NormalDist
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.monitor.chi_square import adjust
from gateway.truth.intervals import Interval, mean_and_error, of_mean, wilson
from gateway.truth.scoring import Scored
from registry.rollouts import MetricKind
from registry.truth_policy import Slice, TruthPolicy

OTHER = "(other)"
MISSING = "(missing)"
MOST_VALUES = 20  # of a slice; the others are taken together
ERROR_LEVEL = 0.05
_TEXT = 100


class Measure(Struct, frozen=True, kw_only=True):
    """One number of a part, beside that of the rows that are not in it.

    `p_adjusted` is that of no difference, in view of all parts and measures (Benjamini-Hochberg);
    None where nothing was tested.
    """

    name: str
    value: float
    rows: int
    interval: Interval
    rest: float | None
    p_adjusted: float | None = None

    @property
    def differs(self) -> bool:
        return self.p_adjusted is not None and self.p_adjusted < ERROR_LEVEL


class Part(Struct, frozen=True, kw_only=True):
    """The rows of which a slice has one value.

    Where they are `insufficient`, since too few rows or too few of a class are known, nothing is
    measured. `says_positive` is the share that the version called positive, of two classes.
    """

    slice: str
    value: str
    rows: int
    positives: int | None
    insufficient: bool
    says_positive: float | None
    measures: tuple[Measure, ...]


class SlicedRow(Struct, frozen=True, gc=False):
    """A scored row, and the value that each declared slice has of it."""

    scored: Scored
    values: tuple[str, ...]


def slice_value(one: Slice, inputs: Mapping[str, Sequence[Any]], told: Mapping[str, str]) -> str:
    """Return what a slice says of a row, of its recorded inputs or what came with its label.

    >>> slice_value(Slice(name="age", input="age", edges=(18.0, 65.0)), {"age": [70.0]}, {})
    '> 65'
    """
    if one.input is None:
        return told.get(one.name, MISSING)
    row = inputs.get(one.input, ())
    place = one.column or 0
    if place >= len(row) or row[place] == "":
        return MISSING
    element = row[place]
    if isinstance(element, float) and not isfinite(element):
        return MISSING
    if one.edges:
        return _between(one.edges, element)
    return f"{element:g}" if isinstance(element, float) else str(element)[:_TEXT]


def compare_parts(
    rows: Sequence[SlicedRow], policy: TruthPolicy, metric: MetricKind
) -> tuple[Part, ...]:
    """Measure each part of each slice beside the rest of the rows."""
    parts = [
        part
        for place, one in enumerate(policy.slices)
        for part in _parts_of(rows, place, one, policy, metric)
    ]
    tested = [
        (i, j, measure.p_adjusted)
        for i, part in enumerate(parts)
        for j, measure in enumerate(part.measures)
        if measure.p_adjusted is not None
    ]
    adjusted = adjust([p for _, _, p in tested])
    for (i, j, _), p in zip(tested, adjusted, strict=True):
        measures = list(parts[i].measures)
        measures[j] = replace(measures[j], p_adjusted=p)
        parts[i] = replace(parts[i], measures=tuple(measures))
    return tuple(parts)


def _parts_of(
    rows: Sequence[SlicedRow], place: int, one: Slice, policy: TruthPolicy, metric: MetricKind
) -> list[Part]:
    counted = Counter(row.values[place] for row in rows)
    named = {value for value, _ in counted.most_common(MOST_VALUES)}
    keyed = [
        (row.values[place] if row.values[place] in named else OTHER, row.scored) for row in rows
    ]
    return [
        _part(
            (one.name, value),
            [scored for key, scored in keyed if key == value],
            [scored for key, scored in keyed if key != value],
            policy,
            metric,
        )
        for value, _ in Counter(key for key, _ in keyed).most_common()
    ]


def _part(
    of: tuple[str, str],
    part: Sequence[Scored],
    rest: Sequence[Scored],
    policy: TruthPolicy,
    metric: MetricKind,
) -> Part:
    is_two = all(row.is_positive is not None for row in part)
    positives = sum(bool(row.is_positive) for row in part) if is_two else None
    insufficient = len(part) < policy.least_rows or (
        positives is not None and min(positives, len(part) - positives) < policy.least_positives
    )
    return Part(
        slice=of[0],
        value=of[1],
        rows=len(part),
        positives=positives,
        insufficient=insufficient,
        says_positive=sum(bool(row.says_positive) for row in part) / len(part) if is_two else None,
        measures=() if insufficient else tuple(_measures(part, rest, metric, is_two=is_two)),
    )


def _measures(
    part: Sequence[Scored], rest: Sequence[Scored], metric: MetricKind, *, is_two: bool
) -> list[Measure]:
    if metric is not MetricKind.ACCURACY:
        return [_of_means(metric, [r.values[0] for r in part], [r.values[0] for r in rest])]
    found = [_of_shares(metric, [r.values[0] for r in part], [r.values[0] for r in rest])]
    if is_two:
        for name, wanted in (("true_positive_rate", True), ("false_positive_rate", False)):
            said = [
                [float(bool(r.says_positive)) for r in side if r.is_positive is wanted]
                for side in (part, rest)
            ]
            found.append(_of_shares(name, *said))
    return found


def _of_shares(name: str, part: Sequence[float], rest: Sequence[float]) -> Measure:
    hits, others = int(sum(part)), int(sum(rest))
    p: float | None = None
    if part and rest:
        pooled = (hits + others) / (len(part) + len(rest))
        error = sqrt(pooled * (1 - pooled) * (1 / len(part) + 1 / len(rest)))
        p = _two_sided(hits / len(part) - others / len(rest), error)
    return Measure(
        name=name,
        value=hits / len(part) if part else 0.0,
        rows=len(part),
        interval=wilson(hits, len(part)),
        rest=others / len(rest) if rest else None,
        p_adjusted=p,
    )


def _of_means(name: str, part: Sequence[float], rest: Sequence[float]) -> Measure:
    mean, error = mean_and_error(part)
    other: float | None = None
    p: float | None = None
    if len(rest) > 1:
        other, other_error = mean_and_error(rest)
        p = _two_sided(mean - other, sqrt(error * error + other_error * other_error))
    interval = of_mean(part) or Interval(mean, mean)
    return Measure(
        name=name, value=mean, rows=len(part), interval=interval, rest=other, p_adjusted=p
    )


def _two_sided(difference: float, error: float) -> float:
    if not error:
        return 1.0 if not difference else 0.0
    return 2 * NormalDist().cdf(-abs(difference / error))


def _between(edges: Sequence[float], element: Any) -> str:
    """Name the part between edges that a number lies in; an edge belongs to the one below it."""
    place = bisect_left(edges, element)
    if place == 0:
        return f"≤ {edges[0]:g}"
    if place == len(edges):
        return f"> {edges[-1]:g}"
    return f"{edges[place - 1]:g} to {edges[place]:g}"
