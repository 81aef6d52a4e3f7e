"""How live values compare with the reference over a window, for people to read.

Nothing here triggers an action: each number is one of a window, and many features looked at over
many windows show something by chance.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from math import log, log2, sqrt

from msgspec import Struct
from msgspec.structs import replace

from gateway.monitor.cells import MISSING, UNSEEN, UNSEEN_WORDS, FeatureCells, Split
from gateway.monitor.chi_square import adjust, homogeneity_p
from gateway.monitor.layout import Layout

# Of fewer values distances say more about chance than about the values.
LEAST_ROWS = 200
_SIGNIFICANT = 0.05
_MATERIAL = 0.05


class Level(StrEnum):
    """What a difference amounts to."""

    NONE = "none"
    SIGNIFICANT = "significant"  # more than chance
    MATERIAL = "material"  # and large enough to matter


class Comparison(Struct, frozen=True, kw_only=True):
    """How one feature differs between a window and the reference.

    `rows` were counted, missing ones too; of fewer than `LEAST_ROWS` nothing is significant. The
    distance of Jensen and Shannon, 0 to 1, and the population stability index are of the values
    present. `cdf_difference` is the greatest difference of the shares up to a value, None where
    values have no order. `unseen` is a share, of words where texts are split. `effect` is the
    greatest difference of all shares. `p_value` is of a chi-square test over values and missing
    ones, `p_adjusted` that in view of all features.
    """

    rows: int
    js_distance: float
    cdf_difference: float | None
    missing_difference: float
    unseen: float
    psi: float
    effect: float
    p_value: float
    p_adjusted: float
    level: Level


def compare(layout: Layout, summary: Sequence[int]) -> tuple[Comparison, ...]:
    """Compare a summary with the reference, feature by feature in the order of the layout."""
    found = [_compare(feature, layout.reference, summary) for feature in layout.features]
    # What had too few rows was not tested, so it makes no other test more doubtful.
    tested = [i for i, one in enumerate(found) if one.rows >= LEAST_ROWS]
    for i, p_adjusted in zip(tested, adjust([found[i].p_value for i in tested]), strict=True):
        level = _level(p_adjusted, found[i].effect)
        found[i] = replace(found[i], p_adjusted=p_adjusted, level=level)
    return tuple(found)


def _level(p_adjusted: float, effect: float) -> Level:
    if p_adjusted >= _SIGNIFICANT:
        return Level.NONE
    return Level.MATERIAL if effect >= _MATERIAL else Level.SIGNIFICANT


def _compare(feature: FeatureCells, reference: Sequence[int], summary: Sequence[int]) -> Comparison:
    rows = _pick(summary, feature.rows)
    expected, observed = _counted(feature, reference), _counted(feature, summary)
    differences = [observed[what] - share for what, share in expected.items()]
    cdf_differences = [0.0]
    for split in feature.splits:
        of_bins = _differences(split, reference, summary)
        differences += of_bins
        if split.is_ordered:
            cdf_differences += accumulate(of_bins)
    first = feature.splits[0] if feature.splits else None
    old, new = (_pick(of, first.among) if first else [] for of in (reference, summary))
    is_ordered = first is not None and first.is_ordered
    return Comparison(
        rows=sum(rows),
        js_distance=jensen_shannon(old, new),
        cdf_difference=max(map(abs, cdf_differences)) if is_ordered else None,
        missing_difference=observed.get(MISSING, 0.0) - expected.get(MISSING, 0.0),
        unseen=observed.get(UNSEEN, observed.get(UNSEEN_WORDS, 0.0)),
        psi=stability_index(old, new),
        effect=max(map(abs, differences + cdf_differences)),
        p_value=homogeneity_p(_pick(reference, feature.rows), rows),
        p_adjusted=1.0,
        level=Level.NONE,
    )


def jensen_shannon(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the distance of Jensen and Shannon between counts, from 0 to 1; 0 where one has none.

    The root of their divergence with logarithms to base 2 (J. Lin, IEEE Transactions on Information
    Theory 37 (1991), p. 145).

    >>> jensen_shannon([5, 0], [0, 7])
    1.0
    """
    first, second = sum(one), sum(other)
    if not first or not second:
        return 0.0
    divergence = 0.0
    for a, b in zip(one, other, strict=True):
        p, q = a / first, b / second
        middle = (p + q) / 2
        divergence += p * log2(p / middle) if p else 0.0
        divergence += q * log2(q / middle) if q else 0.0
    return sqrt(max(0.0, divergence / 2))


def stability_index(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the population stability index of counts; 0 where one has none.

    Half a row is added to each count, so that it is finite.
    """
    if not sum(one) or not sum(other):
        return 0.0
    first, second = sum(one) + len(one) / 2, sum(other) + len(other) / 2
    shares = [((a + 0.5) / first, (b + 0.5) / second) for a, b in zip(one, other, strict=True)]
    return sum((q - p) * log(q / p) for p, q in shares)


def _counted(feature: FeatureCells, summary: Sequence[int]) -> dict[str, float]:
    """Return the shares of what is counted beside the bins."""
    return {
        count.what: summary[count.cell] / (sum(_pick(summary, count.among)) or 1)
        for count in feature.counts
    }


def _differences(split: Split, reference: Sequence[int], summary: Sequence[int]) -> list[float]:
    """Return how much greater the share of each bin is in a summary; 0 where that is of nothing."""
    old, new = sum(_pick(reference, split.among)), sum(_pick(summary, split.among))
    if not old or not new:
        return [0.0] * len(split.bins)
    return [summary[cell] / new - reference[cell] / old for cell in split.bins]


def _pick(summary: Sequence[int], cells: range) -> Sequence[int]:
    return summary[cells.start : cells.stop]
