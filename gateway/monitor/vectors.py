"""Rows counted as a whole: long vectors, and the numbers of a row together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.monitor.cells import MISSING, FeatureCells, Side
from gateway.monitor.grid import Counts, Mask, Numbers, select_rows
from registry.distribution import Embedding, Joint
from registry.reference.embedding import directions
from registry.tensors import Tensor

# A product of more terms is shared among threads by BLAS, which then fight with other workers.
_MOST_TERMS = 200_000


class JointCounter:
    """Counts rows by their squared Mahalanobis distance from the middle of training."""

    def __init__(self, feature: FeatureCells, joint: Joint, rows: Sequence[int]) -> None:
        """`rows` are the rows of a block that hold the numbers of the joint's features."""
        self._rows = select_rows(rows)
        self._bins = feature.splits[0].bins
        self._edges = np.array(joint.edges)
        self._mean = np.array(joint.mean).reshape(-1, 1)
        columns = len(joint.mean)
        self._whitening = np.zeros((columns, columns))
        self._whitening[np.tril_indices(columns)] = joint.whitening
        self._step = max(1, _MOST_TERMS // columns**2)

    def count(self, block: Numbers, missing: Mask | None, counts: Counts) -> None:
        """Add a block [columns, rows]; missing values are at the mean, infinite ones far away."""
        centred = block[self._rows] - self._mean
        if missing is not None:
            centred[missing[self._rows]] = 0
        for start in range(0, centred.shape[1], self._step):
            along = self._whitening @ centred[:, start : start + self._step]
            _add(self._edges, np.square(along).sum(axis=0), self._bins, counts)


class VectorCounter:
    """Counts vectors by their length and by their sides along random directions."""

    def __init__(self, feature: FeatureCells, kind: Embedding) -> None:
        # What is not finite is missing among outputs, as in their reference.
        self._is_whole = np.isfinite if feature.side is Side.OUTPUT else _is_number
        norms, sides = feature.splits
        self._norms, self._sides = norms.bins, sides.bins
        self._missing = feature.cell(MISSING)
        self._edges = np.array(kind.norm_edges)
        self._thresholds = np.array(kind.thresholds)
        self._directions = directions(kind.seed, kind.columns).astype(np.float64)
        self._step = max(1, _MOST_TERMS // self._directions.size)

    def count(self, vectors: Tensor, counts: Counts) -> None:
        """Add vectors [rows, columns]; one with a missing element is missing."""
        for start in range(0, len(vectors), self._step):
            block = vectors[start : start + self._step].astype(np.float64)
            whole = block[self._is_whole(block).all(axis=1)]
            counts[self._missing] += len(block) - len(whole)
            _add(self._edges, np.linalg.norm(whole, axis=1), self._norms, counts)
            above = whole @ self._directions > self._thresholds
            counts[self._sides.start : self._sides.stop] += np.count_nonzero(above, axis=0)


def _is_number(values: Numbers) -> NDArray[np.bool_]:
    return ~np.isnan(values)


def _add(edges: Numbers, values: Numbers, bins: range, counts: Counts) -> None:
    """Count values between edges; NaN, which infinite numbers may leave, is beyond the last."""
    found = np.bincount(np.searchsorted(edges, values), minlength=len(bins))
    counts[bins.start : bins.stop] += found
