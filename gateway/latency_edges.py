"""Which latency a request must be beyond to count as slow: a quantile of the champion's so far."""

from math import ceil

from gateway.metrics.snapshot import TIME_EDGES_NS, Counts, Distribution, no_times
from registry.records import Lane
from registry.rollouts import GuardKind, Plan

_NS_PER_US = 1_000
# So many requests have to lie beyond a quantile before it is worth the name.
_LEAST_BEYOND = 20


def measure_edges(plan: Plan, model: str, champion: int | None, counts: Counts) -> tuple[int, ...]:
    """Return for each guard the latency in us that it counts beyond, 0 where it cannot be told.

    It is read from what all workers measured of the champion since the gateway started.
    """
    times = no_times()
    for series in counts.series:
        if (series.model, series.version, series.lane) == (model, champion, Lane.CHAMPION):
            times.add(series.latency)
    return tuple(
        quantile_us(times, guard.quantile) if guard.kind is GuardKind.LATENCY else 0
        for guard in plan.guards
    )


def quantile_us(times: Distribution, quantile: float) -> int:
    """Return a quantile of measured times, 0 where too few were or it is beyond the last edge.

    Times are taken to lie evenly between two edges.
    """
    total = sum(times.counts)
    rank = quantile * total
    if total - rank < _LEAST_BEYOND:
        return 0
    below, low = 0, 0
    for count, high in zip(times.counts, TIME_EDGES_NS, strict=False):
        if below + count >= rank:
            return ceil((low + (high - low) * (rank - below) / count) / _NS_PER_US)
        below, low = below + count, high
    return 0
