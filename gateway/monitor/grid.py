"""Numbers of many columns sorted into their bins at once, exactly as `searchsorted` would.

A number is first put on a grid of equal steps between the outer edges of its column. Placing it is
monotone, whatever rounding does: a number that lies on a lower step than an edge is below the edge,
one on a higher step above it. Only the edges on its own step are compared with it, and with few
edges on a step a comparison or two for all columns together do.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.monitor.cells import REACH, UNIT, Moments

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Places = NDArray[np.intp]
Mask = NDArray[np.bool_]

STEPS = 512
# Sorting by bisection costs as much as comparing with this many edges.
_MOST_ON_A_STEP = 4


class Column(Struct, frozen=True):
    """One column: `cells[i]` counts what lies above `edges[i-1]` and at most at `edges[i]`.

    NaN is counted in `missing`. Where there are `moments`, what is beyond `limits` is counted in
    `outside` as well.
    """

    edges: tuple[float, ...]
    cells: tuple[int, ...]
    missing: int
    limits: tuple[float, float] = (-np.inf, np.inf)
    outside: int = 0
    moments: Moments | None = None


def find_missing(block: Numbers) -> Mask | None:
    """Say which numbers of a block are NaN; None where none is, as mostly."""
    missing: Mask = np.isnan(block)
    return missing if missing.any() else None


class Grid:
    """Counts blocks of numbers, one row for each column in the order of `columns`."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._low, self._per_step = _steps(columns)
        with np.errstate(all="ignore"):
            steps = self._place(_padded([column.edges for column in columns]))
        crowds = [_most_on_a_step(steps[i, : len(c.edges)]) for i, c in enumerate(columns)]
        self._comparisons = max((n for n in crowds if n <= _MOST_ON_A_STEP), default=0)
        self._bisected = [
            (i, np.array(columns[i].edges)) for i, n in enumerate(crowds) if n > _MOST_ON_A_STEP
        ]
        starts = np.cumsum([0] + [len(column.cells) for column in columns])
        self._starts, self._bins = starts[:-1], int(starts[-1])
        self._first_on_step = np.arange(len(columns), dtype=np.intp)[:, None] * STEPS
        self._below = np.zeros((len(columns), STEPS), np.intp)
        self._edges_on_step = np.full((self._comparisons, len(columns), STEPS), np.inf)
        for i, column in enumerate(columns):
            self._tabulate(i, np.array(column.edges), steps[i, : len(column.edges)], crowds[i])
        self._cells = np.array([cell for column in columns for cell in column.cells], np.intp)
        self._missing = np.array([column.missing for column in columns], np.intp)
        # Where NaN is counted at first: on the first step, or beyond the last edge if bisected.
        self._nan_bins = self._starts.copy()
        for i, edges in self._bisected:
            self._nan_bins[i] += len(edges)
        self._measure = _Measure(columns)

    def count(self, block: Numbers, missing: Mask | None, counts: Counts) -> None:
        """Add a block [columns, rows] to the cells of a summary, with what `find_missing` says.

        To be called where numpy does not warn of numbers: whatever overflows is still sorted right.
        """
        places = self._place(block)
        places += self._first_on_step
        bins = self._below.take(places)
        for edges in self._edges_on_step:
            bins += block > edges.take(places)
        for i, edges in self._bisected:
            bins[i] = np.searchsorted(edges, block[i]) + self._starts[i]
        found = np.bincount(bins.ravel(), minlength=self._bins)
        if missing is not None:
            absent = np.count_nonzero(missing, axis=1)
            found[self._nan_bins] -= absent
            counts[self._missing] += absent
        np.add.at(counts, self._cells, found)
        self._measure.count(block, missing, counts)

    def _place(self, block: Numbers) -> Places:
        """Put numbers on the steps of their columns; NaN on the first."""
        steps = block - self._low
        steps *= self._per_step
        np.fmax(steps, 0, out=steps)
        np.fmin(steps, STEPS - 1, out=steps)
        return steps.astype(np.intp)

    def _tabulate(self, i: int, edges: Numbers, steps: Places, crowd: int) -> None:
        self._below[i] = np.searchsorted(steps, np.arange(STEPS)) + self._starts[i]
        if crowd > _MOST_ON_A_STEP:
            return
        for number, (edge, step) in enumerate(zip(edges, steps, strict=True)):
            nth = number - int(np.searchsorted(steps, step))
            self._edges_on_step[nth, i, step] = edge


class _Measure:
    """Sums numbers and counts those outside of their limits, for the columns with moments."""

    def __init__(self, columns: Sequence[Column]) -> None:
        measured = [(i, c, c.moments) for i, c in enumerate(columns) if c.moments is not None]
        self._rows = select_rows([i for i, _, _ in measured])
        self._low = _upright([column.limits[0] for _, column, _ in measured])
        self._high = _upright([column.limits[1] for _, column, _ in measured])
        self._outside = np.array([column.outside for _, column, _ in measured], np.intp)
        self._mean = _upright([moments.mean for _, _, moments in measured])
        self._per_unit = _upright([UNIT / moments.scale for _, _, moments in measured])
        self._total = np.array([moments.total for _, _, moments in measured], np.intp)
        self._squares = np.array([moments.squares for _, _, moments in measured], np.intp)

    def count(self, block: Numbers, missing: Mask | None, counts: Counts) -> None:
        if not self._total.size:
            return
        values = block[self._rows]
        outside = values < self._low
        outside |= values > self._high
        if outside.any():
            counts[self._outside] += np.count_nonzero(outside, axis=1)
        units = values - self._mean
        units *= self._per_unit
        np.rint(units, out=units)
        np.maximum(units, -REACH, out=units)
        np.minimum(units, REACH, out=units)
        present: int | Counts = units.shape[1]
        if missing is not None:
            own = missing[self._rows]
            present = present - np.count_nonzero(own, axis=1)
            units[own] = 0
        # Whole numbers below 2**53, so that their sums are exact in any order.
        counts[self._total] += units.sum(axis=1).astype(np.int64) + REACH * present
        counts[self._squares] += np.einsum("ij,ij->i", units, units).astype(np.int64)


def _steps(columns: Sequence[Column]) -> tuple[Numbers, Numbers]:
    """Lay a grid between the outer edges of each column: where it begins, steps per unit."""
    low, per_step = [], []
    for column in columns:
        first, last = (column.edges[0], column.edges[-1]) if column.edges else (0.0, 0.0)
        with np.errstate(all="ignore"):
            density = np.float64(STEPS - 1) / (np.float64(last) - np.float64(first))
        low.append(first)
        per_step.append(float(density) if np.isfinite(density) else 1.0)
    return _upright(low), _upright(per_step)


def _most_on_a_step(steps: Places) -> int:
    return int(np.bincount(steps).max()) if steps.size else 0


def _padded(rows: Sequence[Sequence[float]]) -> Numbers:
    """Write rows of unequal lengths into one array, with zeros behind."""
    padded = np.zeros((len(rows), max((len(row) for row in rows), default=0)))
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


def _upright(values: Sequence[float]) -> Numbers:
    return np.array(values, np.float64).reshape(-1, 1)


def select_rows(indexes: Sequence[int]) -> slice | Places:
    """Select rows in this order, without a copy where they are neighbours."""
    if indexes and list(indexes) == list(range(indexes[0], indexes[-1] + 1)):
        return slice(indexes[0], indexes[-1] + 1)
    return np.array(indexes, np.intp)
