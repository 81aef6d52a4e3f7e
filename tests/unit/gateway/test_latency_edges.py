"""From which latency on a request counts as slow."""

import random
from bisect import bisect_left

import pytest

from gateway.latency_edges import measure_edges, quantile_us
from gateway.metrics.snapshot import (
    TIME_EDGES_NS,
    Counts,
    Distribution,
    SeriesCounts,
    no_series,
    no_sizes,
    no_times,
)
from registry.records import Lane
from registry.rollouts import Guard, GuardKind
from tests.rolled import ERRORS, make_plan

MS = 1_000_000


def measured(*times_ns: float) -> Distribution:
    times = no_times()
    for one in times_ns:
        times.counts[bisect_left(TIME_EDGES_NS, one)] += 1
    return times


def series(version: int, lane: Lane, times: Distribution, model: str = "m") -> SeriesCounts:
    found = no_series(model, version, lane)
    found.latency = times
    return found


def counts(*found: SeriesCounts) -> Counts:
    return Counts(list(found), no_sizes(), no_times())


def test_a_quantile_lies_in_the_bucket_that_has_it() -> None:
    drawn = [random.Random(1).expovariate(1 / (2 * MS)) for _ in range(20_000)]
    times = measured(*drawn)
    for quantile in (0.5, 0.9, 0.95, 0.99):
        exact_ns = sorted(drawn)[round(quantile * len(drawn))]
        bucket = bisect_left(TIME_EDGES_NS, exact_ns)
        low, high = (*TIME_EDGES_NS, 0)[bucket - 1], TIME_EDGES_NS[bucket]
        assert low / 1_000 <= quantile_us(times, quantile) <= high / 1_000 + 1


def test_times_lie_evenly_between_two_edges() -> None:
    assert quantile_us(measured(*[2 * MS] * 1_000), 0.5) == 1_750  # between 1 and 2.5 ms


@pytest.mark.parametrize(
    ("times", "quantile"),
    [
        (measured(), 0.5),
        (measured(*[MS] * 39), 0.5),
        (measured(*[MS] * 399), 0.95),
        (measured(*[60_000 * MS] * 1_000), 0.5),
    ],
    ids=["none", "few beyond the median", "few beyond a high quantile", "beyond the last edge"],
)
def test_what_cannot_be_told_is_0(times: Distribution, quantile: float) -> None:
    assert quantile_us(times, quantile) == 0


def test_as_many_as_it_takes_are_enough() -> None:
    assert quantile_us(measured(*[MS] * 40), 0.5) > 0
    assert quantile_us(measured(*[MS] * 400), 0.95) > 0


def test_the_champions_own_requests_are_counted_for_the_guards_on_latency_alone() -> None:
    guards = (
        ERRORS,
        Guard(kind=GuardKind.LATENCY, margin=2.0, quantile=0.5),
        Guard(kind=GuardKind.LATENCY, margin=2.0, quantile=0.99),
    )
    fast, slow = measured(*[2 * MS] * 1_000), measured(*[600 * MS] * 100_000)
    found = counts(
        series(1, Lane.CHAMPION, fast),
        series(1, Lane.PINNED, slow),
        series(2, Lane.CHAMPION, slow),
        series(1, Lane.CHAMPION, slow, "other"),
    )
    plan = make_plan(guards=guards)

    assert measure_edges(plan, "m", 1, found) == (0, 1_750, 0)
    assert measure_edges(plan, "m", None, found) == (0, 0, 0)
