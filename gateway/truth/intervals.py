"""How surely a share or a mean is known.

Of a closed cohort the intervals hold for the one look that is made of it. The sequence holds for
all looks together, and is the only one that anything may be triggered by.
"""

from collections.abc import Sequence
from math import log, sqrt
from statistics import NormalDist

from msgspec import Struct

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
BLOCK_ROWS = 25  # rows that may be alike, as those of one minute, count as one mean
LEAST_BLOCKS = 20
_TIGHTEST = 1_000  # rows at which the sequence is narrowest


class Interval(Struct, frozen=True):
    """The ends of a 95 % interval."""

    low: float
    high: float


def wilson(hits: int, count: int) -> Interval:
    """Return Wilson's interval of a share; all of it where nothing was counted.

    E. B. Wilson, Journal of the American Statistical Association 22 (1927), p. 209.

    >>> one = wilson(90, 100)
    >>> round(one.low, 4), round(one.high, 4)
    (0.8256, 0.9448)
    """
    if not count:
        return Interval(0.0, 1.0)
    share, square = hits / count, Z * Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    reach /= 1 + square / count
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def of_mean(values: Sequence[float]) -> Interval | None:
    """Return the normal interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean, error = mean_and_error(values)
    return Interval(mean - Z * error, mean + Z * error)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of at least two values, and its standard error."""
    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, sqrt(variance / count)


def block_means(values: Sequence[float]) -> list[float]:
    """Return the means of whole blocks of rows, which are in the order of time."""
    whole = len(values) // BLOCK_ROWS * BLOCK_ROWS
    return [
        sum(values[start : start + BLOCK_ROWS]) / BLOCK_ROWS
        for start in range(0, whole, BLOCK_ROWS)
    ]


def sequence_of_share(hits: int, values: Sequence[float]) -> Interval | None:
    """Return the same as `sequence_of_mean` of values that are 1 for `hits` and 0 else.

    Where all are alike nothing varies, and still they say no more than so many can: the error is at
    least that of a share with two more of each (A. Agresti and B. A. Coull, The American
    Statistician 52 (1998), p. 119).
    """
    count = len(values) + 4
    share = (hits + 2) / count
    found = sequence_of_mean(values, least_error=sqrt(share * (1 - share) / count))
    return None if found is None else Interval(max(0.0, found.low), min(1.0, found.high))


def sequence_of_mean(values: Sequence[float], *, least_error: float = 0.0) -> Interval | None:
    """Return the interval of a mean that holds however often it is looked at; None of too few rows.

    The normal-mixture confidence sequence over block means (I. Waudby-Smith and others, Annals of
    Statistics 52 (2024), p. 2613), narrowest at 1,000 rows.
    """
    means = block_means(values)
    if len(means) < LEAST_BLOCKS:
        return None
    mean, error = mean_and_error(means)
    error = max(error, least_error)
    alpha = 1 - LEVEL
    kappa = -2 * log(alpha) + log(-2 * log(alpha)) + 1
    u = kappa * len(means) * BLOCK_ROWS / _TIGHTEST
    reach = error * sqrt(2 * (u + 1) / u * log(sqrt(u + 1) / alpha))
    return Interval(mean - reach, mean + reach)
