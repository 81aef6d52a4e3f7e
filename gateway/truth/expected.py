"""What a metric is expected to be before labels come, if the relation of scores to truth holds on.

The rows of a time whose labels are not there yet are counted by their score, in the bins of the
reference. Each bin is taken to be as good as it was among the rows that were labelled before. So a
shift of the scores is seen, and a changed relation between inputs and truth is not: that is what
this cannot say, and why nothing is ever promoted on it. After the estimate that NannyML calls CBPE.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from gateway.truth.intervals import Interval, Z, mean_and_error
from gateway.truth.scoring import Scored
from registry.rollouts import MetricKind

LEAST_LABELS = 20  # of a bin, or it says nothing of its rows
LEAST_COVERED = 0.9


class Expected(Struct, frozen=True, kw_only=True):
    """What a metric is expected to be over rows without labels: an estimate, never a measurement.

    `assumes` says on what. `covered` is the share of the `rows` that lie in bins of which enough is
    known; below 90 % there is no estimate. The interval is of what the labelled rows leave in
    doubt, not of the assumption.
    """

    metric: MetricKind
    value: float | None
    interval: Interval | None
    rows: int
    labels: int
    covered: float
    assumes: str = "expected if the relation still holds"


def expect(
    metric: MetricKind,
    place: int,
    labelled: Sequence[Scored],
    edges: Sequence[float],
    counts: Sequence[int],
) -> Expected | None:
    """Estimate the metric whose value stands at `place`; None where nothing came.

    `counts` are of the bins between `edges`, the outer ones open, a value on an edge below it.
    """
    total = sum(counts)
    if not total:
        return None
    known: list[list[float]] = [[] for _ in counts]
    for row in labelled:
        if row.score is not None:
            known[bisect_left(edges, row.score)].append(row.values[place])
    used = [(count, of) for count, of in zip(counts, known, strict=True) if len(of) >= LEAST_LABELS]
    rows = sum(count for count, _ in used)
    value = interval = None
    if rows >= LEAST_COVERED * total:
        means = [(count / rows, *mean_and_error(of)) for count, of in used]
        value = sum(share * mean for share, mean, _ in means)
        reach = Z * sqrt(sum((share * error) ** 2 for share, _, error in means))
        interval = Interval(value - reach, value + reach)
    return Expected(
        metric=metric,
        value=value,
        interval=interval,
        rows=total,
        labels=sum(map(len, known)),
        covered=rows / total,
    )
