"""A distribution as people want to see it: in a few words, and as bars."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from registry.distribution import (
    Categorical,
    Discrete,
    Distribution,
    Embedding,
    Feature,
    FreeText,
    HighCardinality,
    Joint,
    Numeric,
)

_CELLS = 14  # of equal width, between two for the tails
_MOST_BARS = _CELLS + 2
_MOST_NAMED = 4
_MOST_VALUES = 24
_NARROW = 1e-3  # of a cell
_MOST_SCALED = 2.0
_BLOCKS, _ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


def kind_of(distribution: Distribution | None) -> str:
    """Name the kind of a distribution in one word."""
    if distribution is None:
        return "absent"
    if isinstance(distribution, Numeric):
        return "integer" if distribution.is_integer else "numeric"
    return str(distribution.__struct_config__.tag)


def share(part: float, whole: float) -> str:
    """Write a share for people.

    >>> share(1, 8), share(0, 8), share(1, 80_000)
    ('12.5 %', '0 %', '< 0.1 %')
    """
    if part in (0, whole):
        return "100 %" if part else "0 %"
    percent = 100 * part / whole
    if percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 else "> 99.9 %"


def in_words(feature: Feature) -> str:
    """Say where the values of a feature lie, or which they are."""
    found, count = feature.distribution, feature.count
    parts: tuple[str, ...] = ("no value",)
    match found:
        case Numeric():
            parts = _numeric_in_words(found)
        case Discrete():
            often = _named(zip(map(str, found.values), found.counts, strict=True), count)
            range_ = f"{found.values[0]} to {found.values[-1]}"
            parts = (often,) if len(found.values) <= _MOST_NAMED else (range_, f"often {often}")
        case Categorical():
            rare = f"{share(found.other, count)} rare values" if found.other else ""
            parts = (_named(zip(found.values, found.counts, strict=True), count), rare)
        case HighCardinality():
            new = f"{share(found.unseen, count)} new" if found.hashes else "mostly new ones"
            frequent = _named(zip(found.values, found.counts, strict=True), count)
            parts = (f"{found.distinct:,} values", frequent, new)
        case FreeText():
            lengths = _lengths(found.length_edges, found.length_counts)
            rare = f"{share(found.unseen, found.words)} rare words" if found.words else "no words"
            foreign = f"{share(found.non_ascii, count)} beyond ASCII" if found.non_ascii else ""
            parts = (f"{lengths} characters", rare, foreign)
        case Embedding():
            lengths = _lengths(found.norm_edges, found.norm_counts)
            parts = (f"{found.columns:,} columns", f"length {lengths}")
    return "; ".join(part for part in parts if part)


def joint_in_words(joint: Joint) -> str:
    """Say how far rows lie from the middle of all."""
    shares = ("50 %", "90 %", "99 %", "99.9 %", "99.99 %")
    within = (f"{s} within {edge:.4g}" for s, edge in zip(shares, joint.edges, strict=True))
    return f"distance squared, over {len(joint.features)} features: {', '.join(within)}"


def bars(distribution: Distribution | None) -> list[float]:
    """Give heights in which the shape of a distribution is seen, at most 24.

    Numbers, and lengths of texts and vectors: densities between the quantiles .05 and .95 in cells
    of equal width, and of the two tails. Whole numbers of few values: one for each, in order. Named
    values: the most frequent first.
    """
    match distribution:
        case Numeric() as found:
            return _densities(found.edges, found.bin_counts, found.minimum, found.maximum)
        case Discrete() as found:
            return _counts_in_order(found)
        case Categorical() | HighCardinality() as found:
            return [float(count) for count in found.counts[:_MOST_BARS]]
        case FreeText() as found:
            return _densities(found.length_edges, found.length_counts)
        case Embedding() as found:
            return _densities(found.norm_edges, found.norm_counts)
    return []


def sparkline(heights: Sequence[float], *, is_ascii: bool = False) -> str:
    """Draw bars in one line; a height of zero is blank, every other is seen.

    >>> sparkline([0, 1, 4, 8]), sparkline([0, 1, 4, 8], is_ascii=True)
    (' ▁▄█', ' .=@')
    """
    levels = _ASCII if is_ascii else _BLOCKS
    highest = max(heights, default=0) or 1.0
    steps = len(levels) - 1
    return "".join(
        levels[max(1, round(height / highest * steps))] if height > 0 else levels[0]
        for height in heights
    )


def _numeric_in_words(found: Numeric) -> tuple[str, ...]:
    if found.minimum == found.maximum:
        return (f"always {_number(found.minimum)}",)
    range_ = f"{_number(found.minimum)} to {_number(found.maximum)}"
    spikes = [(_number(spike), _count_at(found, spike)) for spike in found.spikes]
    often = f"often {_named(spikes, sum(found.bin_counts))}" if spikes else ""
    return f"{range_}, mean {found.mean:.4g}, std {found.std:.4g}", often


def _number(value: float) -> str:
    """Write a number shortly; a whole one in full.

    >>> _number(0.0571077), _number(1_500_000), _number(1e300)
    ('0.05711', '1500000', '1e+300')
    """
    is_whole = abs(value) < 1e15 and value == round(value)
    return f"{value:.0f}" if is_whole else f"{value:.4g}"


def _named(counted: Iterable[tuple[str, int]], whole: int) -> str:
    """Name the most frequent values with their shares, and the number of others."""
    ranked = sorted(counted, key=lambda item: -item[1])
    named = ", ".join(f"{value} ({share(count, whole)})" for value, count in ranked[:_MOST_NAMED])
    more = len(ranked) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _count_at(found: Numeric, spike: float) -> int:
    return found.bin_counts[bisect_left(found.edges, spike)]


def _lengths(edges: Sequence[float], counts: Sequence[int]) -> str:
    low, high = _most(edges, counts)
    return f"mostly {low:.4g} to {high:.4g}" if low < high else f"mostly up to {high:.4g}"


def _most(edges: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    """Read the edges that 5 % and 95 % of the values do not exceed."""
    return _edge_at(edges, counts, 0.05), _edge_at(edges, counts, 0.95)


def _edge_at(edges: Sequence[float], counts: Sequence[int], part: float) -> float:
    reached, wanted = 0, part * sum(counts)
    for edge, count in zip(edges, counts, strict=False):
        reached += count
        if reached >= wanted:
            return edge
    return edges[-1]


def _counts_in_order(found: Discrete) -> list[float]:
    """Give a bar for each whole number of the range, or for two or more where it is long."""
    counts = dict(zip(found.values, found.counts, strict=True))
    span = range(found.values[0], found.values[-1] + 1)
    is_long = len(span) > 2 * _MOST_VALUES
    places = found.values if is_long else span
    size = -(-len(places) // _MOST_VALUES)  # rounded up
    return [
        float(sum(counts.get(value, 0) for value in places[start : start + size]))
        for start in range(0, len(places), size)
    ]


def _densities(
    edges: Sequence[float],
    counts: Sequence[int],
    minimum: float | None = None,
    maximum: float | None = None,
) -> list[float]:
    """Spread the counts of bins evenly over each of them, and sum them by cells of equal width."""
    if not edges:
        return [1.0]
    margin = (edges[-1] - edges[0]) / len(edges)
    least = edges[0] - margin if minimum is None else minimum
    greatest = edges[-1] + margin if maximum is None else maximum
    low, high = _most(edges, counts)
    if low >= high:
        low, high = least, greatest
    width = (high - low) / _CELLS
    if not 0 < width < inf:
        return [1.0]
    inner = [low + i * width for i in range(1, _CELLS)]
    borders = [min(least, low), low, *inner, high, max(greatest, high)]
    cells = list(pairwise(borders))
    masses = [0.0] * len(cells)
    for start, end, count in zip([least, *edges], [*edges, greatest], counts, strict=True):
        for cell, part in enumerate(_parts(cells, start, end) if count else ()):
            masses[cell] += count * part
    # A tail is as high as it is dense; a very narrow one would hide all others.
    return [
        mass * min(_MOST_SCALED, width / (end - start)) if end > start else mass
        for mass, (start, end) in zip(masses, cells, strict=True)
    ]


def _parts(cells: Sequence[tuple[float, float]], start: float, end: float) -> list[float]:
    """Say which part of a bin lies in each cell; one too narrow to be seen lies at its end."""
    low, high = cells[1]
    if end - start > _NARROW * (high - low):
        return [max(0.0, min(end, b) - max(start, a)) / (end - start) for a, b in cells]
    at = next((i for i, (a, b) in enumerate(cells) if end <= b and b > a), len(cells) - 1)
    return [float(cell == at) for cell in range(len(cells))]
