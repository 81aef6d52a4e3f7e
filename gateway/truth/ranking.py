"""How well probabilities of two classes rank rows: the area under the ROC curve; pure."""

from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from gateway.truth.intervals import Interval, Z
from gateway.truth.scoring import Scored


class Ranking(Struct, frozen=True, kw_only=True):
    """How often a positive row has the greater probability than a negative one; ties count half."""

    auc: float
    interval: Interval
    positives: int
    negatives: int


def rank(rows: Sequence[Scored]) -> Ranking | None:
    """Rank rows of two classes; None where there are not two of either.

    The interval is DeLong's (E. R. DeLong and others, Biometrics 44 (1988), p. 837), computed from
    ranks.
    """
    scores = [
        [one.score for one in rows if one.is_positive is wanted and one.score is not None]
        for wanted in (True, False)
    ]
    above, below = (len(one) for one in scores)
    if above < 2 or below < 2:
        return None
    ranks = _mid_ranks([*scores[0], *scores[1]])
    own = [*_mid_ranks(scores[0]), *_mid_ranks(scores[1])]
    # How much of the other class each row has on its side.
    over = [(r - o) / below for r, o in zip(ranks[:above], own[:above], strict=True)]
    under = [1 - (r - o) / above for r, o in zip(ranks[above:], own[above:], strict=True)]
    auc = sum(over) / above
    reach = Z * sqrt(_variance(over) / above + _variance(under) / below)
    return Ranking(
        auc=auc,
        interval=Interval(max(0.0, auc - reach), min(1.0, auc + reach)),
        positives=above,
        negatives=below,
    )


def _mid_ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1; equal ones share the middle of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in range(start, end):
            ranks[order[place]] = (start + end + 1) / 2
        start = end
    return ranks


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
