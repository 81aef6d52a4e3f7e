"""Whether two sets of counts may come from one distribution: Pearson's chi-square test.

For people to read over a window. No alarm depends on it, since with enough rows every difference
is significant.
"""

from collections.abc import Sequence
from math import exp, inf, lgamma, log

# Where fewer are expected the test says too little: such categories are taken together.
LEAST_EXPECTED = 5.0
_PRECISION = 1e-16
_MOST_TERMS = 10_000
_TINY = 1e-300


def homogeneity_p(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the p value for two rows of counts of the same categories; 1 where they say nothing.

    >>> round(homogeneity_p([90, 10], [80, 20]), 4)
    0.0477
    """
    columns = _pooled(list(zip(one, other, strict=True)))
    if len(columns) < 2:
        return 1.0
    first, second = (sum(counts) for counts in zip(*columns, strict=True))
    statistic = sum((a * second - b * first) ** 2 / (first * second * (a + b)) for a, b in columns)
    return upper_tail(statistic, len(columns) - 1)


def upper_tail(statistic: float, degrees: int) -> float:
    """Return the probability that a chi-square variable is greater than `statistic`.

    The incomplete gamma function Q(a, x), as a series for its complement or as a continued fraction
    (W. H. Press and others, Numerical Recipes, 3rd ed. (2007), section 6.2).
    """
    a, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    if x == inf:
        return 0.0
    scale = exp(a * log(x) - x - lgamma(a))
    return 1 - scale * _series(a, x) if x < a + 1 else scale * _fraction(a, x)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that those below a limit hold falsely no more often than the limit.

    Y. Benjamini, Y. Hochberg, Journal of the Royal Statistical Society B 57 (1995), p. 289.
    """
    adjusted, least = [1.0] * len(p_values), 1.0
    descending = sorted(range(len(p_values)), key=lambda i: p_values[i], reverse=True)
    for rank, i in zip(range(len(p_values), 0, -1), descending, strict=True):
        least = min(least, p_values[i] * len(p_values) / rank)
        adjusted[i] = least
    return adjusted


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, _MOST_TERMS):
        term *= x / (a + n)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    value = d
    for n in range(1, _MOST_TERMS):
        numerator = -n * (n - a)
        b += 2
        d = 1 / (numerator * d + b or _TINY)
        c = b + numerator / c or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION * 10:
            break
    return value


def _pooled(columns: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Take together the categories of which too few are expected on either side."""
    first, second = sum(a for a, _ in columns), sum(b for _, b in columns)
    if not first or not second:
        return []
    share = min(first, second) / (first + second)
    together, kept = (0, 0), []
    for a, b in sorted(columns, key=sum):
        if (a + b) * share < LEAST_EXPECTED or 0 < sum(together) * share < LEAST_EXPECTED:
            together = together[0] + a, together[1] + b
        else:
            kept.append((a, b))
    return [*kept, together] if sum(together) else kept
