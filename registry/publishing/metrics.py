"""Measured quality with its 95 % interval, in closed form."""

from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from registry.errors import Rejected
from registry.manifest import Metric
from registry.tensors import Tensor

_Z = NormalDist().inv_cdf(0.975)


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Bound a share of `n` rows with 95 % confidence, also where it is near 0 or 1.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), p. 209.

    >>> tuple(round(side, 4) for side in wilson_interval(90, 100))
    (0.8256, 0.9448)
    """
    share, z2 = hits / n, _Z * _Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(predicted: Tensor, labels: Tensor) -> Metric:
    """Measure the share of rows whose predicted label is the true one."""
    _check(predicted, labels)
    hits, n = int(np.count_nonzero(predicted == labels)), len(labels)
    low, high = wilson_interval(hits, n)
    return Metric(name="accuracy", value=hits / n, n=n, low=low, high=high)


def area_under_roc(scores: Tensor, positive: NDArray[np.bool_]) -> Metric:
    """Measure how often a positive row scores above a negative one; a tie counts half.

    The interval is value ± 1.96 standard errors, cut to [0, 1]; the error is that of E. R. DeLong,
    D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988), p. 837, found through midranks as
    X. Sun and W. Xu, IEEE Signal Processing Letters 21 (2014), p. 1389, describe.

    Raises Rejected("metrics") with fewer than two rows of either class.
    """
    _check(scores, positive)
    high_side, low_side = scores[positive], scores[~positive]
    m, n = len(high_side), len(low_side)
    if min(m, n) < 2:
        raise Rejected("metrics", "The area under the curve needs two rows of each class.")
    ranks = _midranks(np.concatenate([high_side, low_side]))
    above = (ranks[:m] - _midranks(high_side)) / n  # share of negatives below each positive
    below = 1 - (ranks[m:] - _midranks(low_side)) / m  # share of positives above each negative
    value = float(above.mean())
    half = _Z * sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    return Metric(
        name="area_under_roc",
        value=value,
        n=m + n,
        low=max(0.0, value - half),
        high=min(1.0, value + half),
    )


def mean_absolute_error(predicted: Tensor, labels: Tensor) -> Metric:
    """Measure the mean distance to the true value, ± 1.96 standard errors of that mean."""
    _check(predicted, labels)
    distances = np.abs(predicted.astype(np.float64) - labels.astype(np.float64))
    value, n = float(distances.mean()), len(distances)
    half = _Z * float(distances.std(ddof=1 if n > 1 else 0)) / sqrt(n)
    return Metric(
        name="mean_absolute_error", value=value, n=n, low=max(0.0, value - half), high=value + half
    )


def _check(left: Tensor, right: Tensor) -> None:
    if left.shape != right.shape or left.ndim != 1 or not left.size:
        raise Rejected(
            "metrics",
            f"Predictions {list(left.shape)} and labels {list(right.shape)} must be vectors of "
            "one equal length, above zero.",
        )


def _midranks(values: Tensor) -> NDArray[np.float64]:
    """Rank values from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
