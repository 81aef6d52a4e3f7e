"""Comparisons are what they are elsewhere called, and alarm of neither few rows nor of chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_traffic import Rows, Traffic, reference
from scipy import stats
from scipy.spatial import distance

from gateway.monitor.chi_square import LEAST_EXPECTED, adjust, homogeneity_p, upper_tail
from gateway.monitor.comparison import (
    LEAST_ROWS,
    Comparison,
    Level,
    compare,
    jensen_shannon,
    stability_index,
)
from gateway.monitor.layout import Layout, merge
from registry.distribution import Feature, Numeric, Reference

COUNTS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=2, max_size=40)


@given(st.floats(1e-6, 5000), st.integers(1, 400))
def test_the_tail_of_chi_square_is_that_of_scipy(statistic: float, degrees: int) -> None:
    expected = stats.chi2.sf(statistic, degrees)
    assert upper_tail(statistic, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-14)


@given(COUNTS)
def test_the_test_of_two_rows_of_counts_is_that_of_scipy(counts: list[tuple[int, int]]) -> None:
    table = np.array(counts)
    totals = table.sum(axis=0)
    if not totals.all():
        assert homogeneity_p(*table.T.tolist()) == 1
        return
    expected = table.sum(axis=1) * totals.min() / totals.sum()
    if (expected < LEAST_EXPECTED).any():  # scipy takes nothing together
        return
    scipys = stats.chi2_contingency(table.T, correction=False).pvalue
    assert homogeneity_p(*table.T.tolist()) == pytest.approx(scipys, rel=1e-8, abs=1e-14)


def test_categories_of_few_rows_are_taken_together() -> None:
    one, other = [1000, 1000, *[2] * 50], [1000, 1000, *[0] * 50]
    together = stats.chi2_contingency([[1000, 1000, 100], [1000, 1000, 0]], correction=False)
    assert homogeneity_p(one, other) == pytest.approx(together.pvalue, rel=1e-6)
    assert homogeneity_p([3, 2], [2, 3]) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_p_values_are_adjusted_as_scipy_does(p_values: list[float]) -> None:
    assert adjust(p_values) == pytest.approx(stats.false_discovery_control(p_values).tolist())


@given(COUNTS)
def test_the_distance_of_jensen_and_shannon_is_that_of_scipy(
    counts: list[tuple[int, int]],
) -> None:
    one, other = (list(side) for side in zip(*counts, strict=True))
    if sum(one) and sum(other):
        scipys = distance.jensenshannon(one, other, base=2)
        assert jensen_shannon(one, other) == pytest.approx(scipys, abs=1e-7)
    else:
        assert jensen_shannon(one, other) == 0


def test_the_stability_index_is_finite_and_near_its_definition() -> None:
    assert stability_index([500, 500], [250, 750]) == pytest.approx(0.25 * np.log(3), rel=0.01)
    assert 0 < stability_index([1000, 0], [0, 1000]) < 20
    assert stability_index([0, 0], [1, 2]) == 0


def test_the_cdf_difference_is_the_statistic_of_kolmogorov_and_smirnov() -> None:
    """Values at the edges alone, so that bins lose nothing."""
    source = np.random.default_rng(1)
    edges = np.arange(10.0)
    old, new = source.integers(0, 11, 900), source.integers(2, 11, 500)

    def counts(values: np.ndarray) -> tuple[int, ...]:
        bins = np.searchsorted(edges, values)
        return tuple(np.bincount(bins, minlength=11).tolist())

    numeric = Numeric(
        minimum=0, maximum=10, mean=5, std=3, edges=tuple(edges.tolist()), bin_counts=counts(old)
    )
    feature = Feature(input="x", count=900, missing=0, distribution=numeric)
    layout = Layout.of(Reference(rows=900, features=(feature,)))
    summary = layout.empty()
    bins = layout.features[0].splits[0].bins
    summary[bins.start : bins.stop] = counts(new)
    found = compare(layout, summary)[0].cdf_difference
    assert found == pytest.approx(stats.ks_2samp(old, new).statistic)


def window(looks: int, seed: int, by: float = 0.0) -> tuple[Comparison, ...]:
    def shift(_: np.random.Generator, rows: Rows) -> None:
        rows[:, 7] += by

    traffic = Traffic(seed, seconds=1)
    layout = Layout.of(reference())
    summary = layout.empty()
    for _ in range(looks):
        summary = merge(summary, traffic.look(shift)[0])
    return compare(layout, summary)


def test_clean_windows_differ_by_chance_alone() -> None:
    windows = [window(2, seed) for seed in range(40)]
    assert sum(any(one.level is not Level.NONE for one in found) for found in windows) <= 4


def test_a_large_shift_is_material_and_a_small_one_only_significant() -> None:
    assert [one.level for one in window(20, 1, by=0.5)][7] is Level.MATERIAL
    small = window(200, 2, by=0.07)[7]
    assert small.level is Level.SIGNIFICANT
    assert small.effect < 0.05


def test_of_few_rows_nothing_is_said_to_be_more_than_chance() -> None:
    layout = Layout.of(reference())
    summary = layout.empty()
    first = layout.features[0]
    summary[first.splits[0].bins[0]] = LEAST_ROWS - 1
    assert compare(layout, summary)[0].level is Level.NONE
    summary[first.splits[0].bins[0]] += 1
    assert compare(layout, summary)[0].level is Level.MATERIAL


def test_a_reference_compared_with_itself_differs_in_nothing() -> None:
    layout = Layout.of(reference())
    for one in compare(layout, layout.reference):
        assert one.js_distance == one.psi == one.effect == one.missing_difference == 0
        assert one.p_value == 1
