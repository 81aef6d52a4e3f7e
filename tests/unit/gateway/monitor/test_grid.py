"""Numbers are sorted into bins exactly as by bisection, whatever they and the edges are."""

from math import nextafter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.monitor.cells import REACH, UNIT, Moments
from gateway.monitor.grid import STEPS, Column, Grid, find_missing, select_rows
from registry.datatypes import Datatype
from registry.tensors import NUMPY_TYPES

NAN, INF = float("nan"), float("inf")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def grid(*edges: tuple[float, ...]) -> tuple[Grid, int]:
    """Make a grid that counts in cells 0, 1, …, column after column, missing last in each."""
    columns, at = [], 0
    for of_column in edges:
        bins = len(of_column) + 1
        columns.append(Column(of_column, tuple(range(at, at + bins)), at + bins))
        at += bins + 1
    return Grid(columns), at


def counted(edges: tuple[tuple[float, ...], ...], block: np.ndarray[Any, Any]) -> list[int]:
    of_edges, cells = grid(*edges)
    counts = np.zeros(cells, np.int64)
    with np.errstate(all="ignore"):
        of_edges.count(block, find_missing(block), counts)
    return counts.tolist()


def by_bisection(edges: tuple[tuple[float, ...], ...], block: np.ndarray[Any, Any]) -> list[int]:
    counts = []
    for of_column, values in zip(edges, block, strict=True):
        present = values[~np.isnan(values)]
        bins = np.searchsorted(np.array(of_column), present)
        counts += np.bincount(bins, minlength=len(of_column) + 1).tolist()
        counts.append(int(np.isnan(values).sum()))
    return counts


def near(edges: tuple[float, ...]) -> list[float]:
    """The numbers at which a rounding that went wrong would show."""
    both = [nextafter(edge, side) for edge in edges for side in (-INF, INF)]
    return [*edges, *both, -INF, INF, NAN, 0.0, -0.0, 5e-324, 1.7e308, -1.7e308]


@st.composite
def edges_and_values(draw: st.DrawFn) -> tuple[tuple[float, ...], list[float]]:
    edges = tuple(sorted(draw(st.sets(NUMBERS, max_size=40))))
    more = draw(st.lists(st.floats(), max_size=20))
    return edges, near(edges) + more


@given(edges_and_values(), edges_and_values())
@example(((-1.7e308, 0.0, 1.7e308), near((-1.7e308, 0.0, 1.7e308))), ((), [1.0, NAN]))
@example(((0.0, 5e-324), near((0.0, 5e-324))), ((1.0, nextafter(1.0, 2), 2.0), [1.0]))
def test_every_value_gets_into_the_bin_that_bisection_finds(
    one: tuple[tuple[float, ...], list[float]], other: tuple[tuple[float, ...], list[float]]
) -> None:
    rows = max(len(one[1]), len(other[1]))
    block = np.array([values + [NAN] * (rows - len(values)) for _, values in (one, other)])
    edges = (one[0], other[0])
    assert counted(edges, block) == by_bisection(edges, block)


@pytest.mark.parametrize("numpy_type", [t for d, t in NUMPY_TYPES.items() if d != Datatype.BYTES])
def test_values_of_every_datatype_are_sorted_as_numbers_of_64_bits(
    numpy_type: np.dtype[Any],
) -> None:
    source = np.random.default_rng(1)
    values = (source.standard_normal((1, 5000)) * 60).astype(numpy_type).astype(np.float64)
    edges = tuple(np.unique(np.quantile(values, np.arange(1, 20) / 20, method="lower")).tolist())
    assert counted((edges,), values) == by_bisection((edges,), values)


def test_edges_too_close_for_the_grid_are_still_told_apart() -> None:
    crowd = tuple(1.0 + i * 2.0**-52 for i in range(30))
    edges = ((*crowd, 1e9), (0.0, 1.0))
    block = np.array([[*crowd, 1e9, 2e9, NAN], [0.5] * 33])
    assert counted(edges, block) == by_bisection(edges, block)


def test_every_step_of_the_grid_is_sorted_right() -> None:
    edges = tuple(np.linspace(0.0, 1.0, 20).tolist())
    block = np.linspace(-0.1, 1.1, 16 * STEPS).reshape(1, -1)
    assert counted((edges,), block) == by_bisection((edges,), block)


def measured(values: list[float], limits: tuple[float, float] = (-INF, INF)) -> list[int]:
    """Count values by mean 10 and deviation 2: outside, total, squares."""
    moments = Moments(total=4, squares=5, mean=10.0, scale=2.0)
    column = Column((10.0,), (0, 1), 2, limits=limits, outside=3, moments=moments)
    counts = np.zeros(6, np.int64)
    with np.errstate(all="ignore"):
        block = np.array([values])
        Grid([column]).count(block, find_missing(block), counts)
    return counts[3:].tolist()


def test_numbers_are_summed_as_whole_units_above_the_mean() -> None:
    assert measured([10.0, 12.0, 6.0]) == [0, 3 * REACH + UNIT - 2 * UNIT, 5 * UNIT * UNIT]


def test_a_missing_value_is_in_no_sum_and_never_outside() -> None:
    assert measured([NAN, NAN], limits=(0.0, 1.0)) == [0, 0, 0]


def test_a_number_beyond_the_reach_counts_as_the_reach() -> None:
    assert measured([1e300, INF]) == [0, 4 * REACH, 2 * REACH**2]
    assert measured([-INF]) == [0, 0, REACH**2]


def test_what_lies_beyond_the_limits_is_outside() -> None:
    assert measured([9.0, 10.0, 11.0, 11.5, INF, 8.9], limits=(9.0, 11.0))[0] == 3


def test_rows_are_selected_in_the_order_that_is_asked_for() -> None:
    block = np.arange(8.0).reshape(4, 2)
    for rows in ([1, 2], [0, 2, 1, 3], [3, 0], [2]):
        assert block[select_rows(rows)].tolist() == [block[row].tolist() for row in rows]
