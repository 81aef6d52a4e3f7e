"""Rows counted as a whole: long vectors, and the numbers of a row together."""

import numpy as np

from gateway.monitor.grid import Counts, Numbers, Places
from gateway.monitor.layout import FeatureCells
from registry.distribution import Embedding, Joint
from registry.tensors import Tensor

# A product of more terms is shared among threads by BLAS, which then fight with other workers.
_MOST_TERMS = 200_000


class JointCounter:
    """Counts rows by their squared Mahalanobis distance from the middle of training."""

    def __init__(self, feature: FeatureCells, joint: Joint, rows: Places) -> None:
        """`rows` are the rows of a block that hold the numbers of the joint's features."""
        self._rows = rows
        self._bins = feature.splits[0].bins
        self._edges = np.array(joint.edges)
        self._mean = np.array(joint.mean).reshape(-1, 1)
        columns = len(joint.mean)
        self._whitening = np.zeros((columns, columns))
        self._whitening[np.tril_indices(columns)] = joint.whitening
        self._step = max(1, _MOST_TERMS // columns**2)

    def count(self, block: Numbers, counts: Counts) -> None:
        """Add a block [columns, rows]; missing values are at the mean, infinite ones far away."""
        centred = block[self._rows] - self._mean
        centred[np.isnan(centred)] = 0
        for start in range(0, centred.shape[1], self._step):
            along = self._whitening @ centred[:, start : start + self._step]
            _add(self._edges, np.square(along).sum(axis=0), self._bins, counts)


class VectorCounter:
    """Counts vectors by their length and by their sides along random directions."""

    def __init__(self, feature: FeatureCells, kind: Embedding, directions: Numbers) -> None:
        """`directions` [columns, number of signs] are those of the embedding's seed."""
        norms, signs = feature.splits
        self._norms, self._signs = norms.bins, signs.bins
        self._missing = feature.cell("missing")
        self._edges = np.array(kind.norm_edges)
        self._thresholds = np.array(kind.thresholds)
        self._directions = directions

    def count(self, vectors: Tensor, counts: Counts) -> None:
        """Add vectors [rows, columns]; one with a missing element is missing."""
        wide = vectors.astype(np.float64)
        whole = wide[~np.isnan(wide).any(axis=1)]
        counts[self._missing] += len(wide) - len(whole)
        _add(self._edges, np.linalg.norm(whole, axis=1), self._norms, counts)
        above = whole @ self._directions > self._thresholds
        counts[self._signs.start : self._signs.stop] += np.count_nonzero(above, axis=0)


def _add(edges: Numbers, values: Numbers, bins: range, counts: Counts) -> None:
    """Count values between edges; NaN, which infinite numbers may leave, is beyond the last."""
    found = np.bincount(np.searchsorted(edges, values), minlength=len(bins))
    counts[bins.start : bins.stop] += found
