"""Numbers: quantile bins with spikes apart, or a count for each value where these are few."""

from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from registry.distribution import Discrete, Numeric
from registry.tensors import Tensor

BINS = 20
MOST_VALUES = 32
# Counts of fewer rows a value say little of how often it occurs: the least that a chi-square test
# is commonly trusted with.
_LEAST_ROWS_PER_VALUE = 5
# Beyond, not every whole number is a number of 64 bits.
_GREATEST_EXACT = 2.0**53

Numbers = NDArray[np.float64]


def describe_numbers(present: Numbers, numpy_type: np.dtype[np.generic]) -> Numeric | Discrete:
    """Describe numbers [n], n > 0, all finite; `numpy_type` is the datatype that they had.

    Booleans are Discrete, and so are whole numbers of at most `MOST_VALUES` values with five rows
    each on average; all others are Numeric.
    """
    ordered = np.sort(present) + 0.0  # -0 is 0
    is_integer = numpy_type.kind in "biu" or bool((np.trunc(ordered) == ordered).all())
    if is_integer:
        discrete = _discrete(ordered)
        if discrete and (numpy_type.kind == "b" or _is_common(discrete, ordered.size)):
            return discrete
    edges, spikes = place_edges(ordered, numpy_type)
    mean, std = _moments(ordered)
    return Numeric(
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        mean=mean,
        std=std,
        edges=edges,
        bin_counts=count_bins(edges, ordered),
        spikes=spikes,
        is_integer=is_integer,
    )


def place_edges(
    ordered: Numbers, numpy_type: np.dtype[np.generic]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Place edges at the twentieths of ascending numbers [n]; returns edges and spikes.

    An edge is a number that occurs, so one that fills several twentieths gives one edge, not
    several equal ones. A number that fills a twentieth alone is a spike: edges at it and at the
    next smaller number of its datatype give it a bin of its own.
    """
    at_twentieths = twentieths(ordered)
    # A run of equal numbers that is as long covers one of these.
    candidates = np.unique(at_twentieths)
    runs = np.searchsorted(ordered, candidates, "right") - np.searchsorted(ordered, candidates)
    spikes = candidates[(runs * BINS >= ordered.size) & (runs > 1)].tolist()
    below = (_next_below(spike, numpy_type) for spike in spikes)
    edges = {*at_twentieths[1:-1].tolist(), *spikes, *(edge for edge in below if isfinite(edge))}
    return tuple(sorted(edges)), tuple(spikes)


def twentieths(ordered: Numbers) -> Numbers:
    """Read the 21 numbers that each twentieth of ascending numbers [n] ends with, the least first.

    The others are the least that so many twentieths of the numbers do not exceed.
    """
    ranks = -(-np.arange(BINS + 1) * ordered.size // BINS)  # rounded up
    found: Numbers = ordered[np.maximum(ranks, 1) - 1]
    return found


def count_bins(edges: tuple[float, ...], values: Numbers) -> tuple[int, ...]:
    """Count values [n] between edges: one at an edge belongs to the bin below it."""
    bins = np.searchsorted(np.array(edges, np.float64), values, side="left")
    return tuple(np.bincount(bins, minlength=len(edges) + 1).tolist())


def quantile(distribution: Numeric | Discrete, share: float) -> float:
    """Read the least number that `share` of the values do not exceed; 0 reads the minimum.

    Of a Numeric exact for the minimum, the maximum and the twentieths between, where edges are;
    elsewhere it reads the next edge above.
    """
    if isinstance(distribution, Discrete):
        ends, counts = [float(value) for value in distribution.values], distribution.counts
    else:
        ends, counts = [*distribution.edges, distribution.maximum], distribution.bin_counts
        if share <= 0:
            return distribution.minimum
    reached = np.cumsum(counts) >= share * sum(counts)
    return ends[int(np.argmax(reached))]


def moments(distribution: Numeric | Discrete) -> tuple[float, float]:
    """Return the mean and the standard deviation of a distribution of numbers."""
    if isinstance(distribution, Numeric):
        return distribution.mean, distribution.std
    values, counts = np.array(distribution.values, np.float64), np.array(distribution.counts)
    mean = float(np.average(values, weights=counts))
    return mean, sqrt(np.average((values - mean) ** 2, weights=counts))


def _discrete(ordered: Numbers) -> Discrete | None:
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    if starts.size > MOST_VALUES or max(abs(ordered[0]), abs(ordered[-1])) > _GREATEST_EXACT:
        return None
    return Discrete(
        values=tuple(ordered[starts].astype(np.int64).tolist()),
        counts=tuple(np.diff(starts, append=ordered.size).tolist()),
    )


def _is_common(discrete: Discrete, rows: int) -> bool:
    return rows >= _LEAST_ROWS_PER_VALUE * len(discrete.values)


def _next_below(value: float, numpy_type: np.dtype[np.generic]) -> float:
    """Return the next smaller number of a datatype, -inf below the least."""
    if numpy_type.kind in "biu":
        return min(value - 1, float(np.nextafter(value, -np.inf)))
    own: Tensor = np.array(value).astype(numpy_type)
    with np.errstate(over="ignore"):
        return float(np.nextafter(own, np.array(-np.inf).astype(numpy_type)))


def _moments(ordered: Numbers) -> tuple[float, float]:
    """Return mean and deviation of scaled values: a sum of the largest would not be finite."""
    scale = float(np.abs(ordered[[0, -1]]).max()) or 1.0
    scaled = ordered / scale
    return float(scaled.mean()) * scale, float(scaled.std()) * scale
