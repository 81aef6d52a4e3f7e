"""How far rows lie from the middle of all, by all their numbers at once."""

from collections.abc import Iterator, Sequence

import numpy as np

from registry.distribution import Discrete, Feature, Joint, Numeric
from registry.reference.numeric import Numbers, count_bins, moments
from registry.tensors import Tensor

MOST_FEATURES = 256
SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)
# Of fewer rows a feature the covariances are noise.
LEAST_ROWS_PER_FEATURE = 10
# Added to the variances of standardised features, so that features that say the same can be held.
_RIDGE = 1e-6
# The squares of numbers beyond these have no 64 bits.
_GREATEST, _LEAST_STD = 1e150, 1e-150
_BLOCK_ROWS = 8192
_DIGITS = 7  # those of a number of 32 bits
_HALF_A_DIGIT = 5e-7
_LEAST_LEFT = 1e-9
_TINY = 1e-6


def describe_joint(features: Sequence[Feature], columns: Sequence[Tensor]) -> Joint | None:
    """Describe the squared Mahalanobis distances of rows; `columns` [n] are those of the features.

    It takes the first `MOST_FEATURES` features of numbers that vary, and is None where there are
    not two, or fewer rows than `LEAST_ROWS_PER_FEATURE` for each. A distance is that from the mean
    and by the covariance of all other rows: of few rows, each would pull the middle towards itself.
    """
    chosen = [i for i, feature in enumerate(features) if _varies(feature)][:MOST_FEATURES]
    if len(chosen) < 2 or len(columns[0]) < LEAST_ROWS_PER_FEATURE * len(chosen):
        return None
    mean, std = np.array([_moments(features[i]) for i in chosen]).T
    values = [columns[i] for i in chosen]
    lower = _whitening(values, mean, std)
    distances = np.concatenate(
        [np.square(block @ lower.T).sum(axis=1) for block in _centred(values, mean)]
    )
    others = np.sort(_from_all_others(distances))
    ranks = np.ceil(np.array(SHARES) * others.size - _TINY).astype(np.int64)
    # Above the row that it is read from, also when rounded.
    edges = tuple(_round(edge * (1 + _HALF_A_DIGIT)) for edge in others[ranks - 1].tolist())
    return Joint(
        features=tuple(chosen),
        mean=tuple(mean.tolist()),
        whitening=tuple(lower[np.tril_indices(len(chosen))].tolist()),
        edges=edges,
        bin_counts=count_bins(edges, others),
    )


def _varies(feature: Feature) -> bool:
    found = feature.distribution
    if isinstance(found, Discrete):
        return len(found.values) > 1
    return (
        isinstance(found, Numeric)
        and found.minimum < found.maximum
        and found.std > _LEAST_STD
        and max(abs(found.minimum), abs(found.maximum)) < _GREATEST
    )


def _moments(feature: Feature) -> tuple[float, float]:
    assert isinstance(feature.distribution, Numeric | Discrete)
    return moments(feature.distribution)


def _centred(columns: Sequence[Tensor], mean: Numbers) -> Iterator[Numbers]:
    """Give blocks of rows less their mean; missing values are at the mean."""
    for start in range(0, len(columns[0]), _BLOCK_ROWS):
        block = [column[start : start + _BLOCK_ROWS].astype(np.float64) for column in columns]
        centred = np.stack(block, axis=1) - mean
        yield np.where(np.isnan(centred), 0.0, centred)


def _whitening(columns: Sequence[Tensor], mean: Numbers, std: Numbers) -> Numbers:
    """Invert the Cholesky factor of the covariance, found through that of standardised features."""
    scatter = np.zeros((len(mean), len(mean)))
    for block in _centred(columns, mean):
        standard = block / std
        scatter += standard.T @ standard
    covariance = scatter / len(columns[0]) + _RIDGE * np.eye(len(mean))
    inverse = np.linalg.solve(np.linalg.cholesky(covariance), np.eye(len(mean)))
    lower = np.tril(inverse / std)
    return np.array([[_round(value) for value in row] for row in lower.tolist()])


def _from_all_others(distances: Numbers) -> Numbers:
    """Turn the squared distances of rows [n] into those from mean and covariance of the others.

    With q = d²/n, leaving a row out turns the mean by 1/(n-1) of its distance and the inverse
    covariance by the formula of Sherman and Morrison (Annals of Mathematical Statistics 21 (1950),
    p. 124).
    """
    n = distances.size
    grown = n / (n - 1)
    left = np.maximum(1 - grown * distances / n, _LEAST_LEFT)
    return grown * distances / left


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
