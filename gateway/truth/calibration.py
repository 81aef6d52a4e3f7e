"""Whether probabilities of two classes are as often right as they say; pure.

There is no expected calibration error: of a model that is calibrated perfectly it is far from 0,
the more so the fewer the rows, so nothing could be concluded from it.
"""

from collections.abc import Sequence
from math import exp, log

from msgspec import Struct

from gateway.truth.intervals import BLOCK_ROWS, LEAST_BLOCKS, Interval, wilson
from gateway.truth.scoring import LEAST_PROBABILITY, Scored

BINS = 10
ALPHA = 0.05
# What is betted on: that the odds are larger or smaller by this.
_FACTORS = tuple(exp(shift) for shift in (-0.6, -0.3, -0.15, 0.15, 0.3, 0.6))


class ReliabilityBin(Struct, frozen=True, kw_only=True):
    """Rows whose probability lies from `low` to below `high`: what was said, and what was so.

    `said` is the mean probability, `was` the share that were positive, with its interval.
    """

    low: float
    high: float
    rows: int
    said: float
    was: float
    interval: Interval


class Calibration(Struct, frozen=True, kw_only=True):
    """How probabilities stand to what was so.

    `evidence` is the greatest e-value, as a natural logarithm, that they are not calibrated: bets
    on shifts of the logit, whose null is the version's own probabilities. By chance it passes
    `limit` in at most 5 % of cases, however often it is looked at. It is divided by `dispersion`,
    which tells how much alike neighbouring rows are.
    """

    bins: tuple[ReliabilityBin, ...]
    evidence: float
    limit: float
    dispersion: float

    @property
    def is_off(self) -> bool:
        """Whether the probabilities are not calibrated, beyond chance."""
        return self.evidence >= self.limit


def calibrate(rows: Sequence[Scored]) -> Calibration | None:
    """Describe rows of two classes, in the order of time; None where there are none."""
    pairs = [
        (row.score, row.is_positive)
        for row in rows
        if row.score is not None and row.is_positive is not None
    ]
    if not pairs:
        return None
    dispersion = _dispersion(pairs)
    return Calibration(
        bins=_bins(pairs),
        evidence=_evidence(pairs, dispersion),
        limit=-log(ALPHA),
        dispersion=dispersion,
    )


def _bins(pairs: Sequence[tuple[float, bool]]) -> tuple[ReliabilityBin, ...]:
    parted: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, is_positive in pairs:
        parted[min(int(probability * BINS), BINS - 1)].append((probability, is_positive))
    return tuple(_bin(number, part) for number, part in enumerate(parted) if part)


def _bin(number: int, part: Sequence[tuple[float, bool]]) -> ReliabilityBin:
    rows, positives = len(part), sum(is_positive for _, is_positive in part)
    return ReliabilityBin(
        low=number / BINS,
        high=(number + 1) / BINS,
        rows=rows,
        said=sum(probability for probability, _ in part) / rows,
        was=positives / rows,
        interval=wilson(positives, rows),
    )


def _evidence(pairs: Sequence[tuple[float, bool]], dispersion: float) -> float:
    """Return the greatest log of the mean of the bets over the rows, each divided."""
    logs = [0.0] * len(_FACTORS)
    greatest = 0.0
    for probability, is_positive in pairs:
        p = min(max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
        odds = p / (1 - p)
        for i, factor in enumerate(_FACTORS):
            shifted = odds * factor / (1 + odds * factor)
            logs[i] += log(shifted / p) if is_positive else log((1 - shifted) / (1 - p))
        most = max(logs) / dispersion
        # The mean is at most the greatest bet, so most rows need no sum of exponentials.
        if most > greatest:
            mean = sum(exp(one / dispersion - most) for one in logs) / len(logs)
            greatest = max(greatest, most + log(mean))
    return greatest


def _dispersion(pairs: Sequence[tuple[float, bool]]) -> float:
    """Return how much more blocks of rows vary than rows that have nothing to do with each other.

    A quasi-likelihood of the sums of residuals, about their mean: 1 of independent rows.
    """
    blocks = [
        pairs[start : start + BLOCK_ROWS]
        for start in range(0, len(pairs) - BLOCK_ROWS + 1, BLOCK_ROWS)
    ]
    expected = sum(p * (1 - p) for block in blocks for p, _ in block)
    if len(blocks) < LEAST_BLOCKS or not expected:
        return 1.0
    sums = [sum(is_positive - p for p, is_positive in block) for block in blocks]
    mean = sum(sums) / len(sums)
    squares = sum((one - mean) ** 2 for one in sums) * len(sums) / (len(sums) - 1)
    return max(1.0, squares / expected)
