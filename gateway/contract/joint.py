"""How far the rows of a request lie from the middle of the reference, by its joint distances."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.distribution import Reference
from registry.tensors import Tensor

Floats = NDArray[np.float64]

# Larger products leave the processor's cache.
_BLOCK_ROWS = 256
# Beyond it, squares of values would not be finite; a row that is so far out is simply far out.
_FARTHEST = 1e100


class JointDistance:
    """Measures squared Mahalanobis distances, as the reference's `joint` says."""

    def __init__(self, reference: Reference) -> None:
        joint = reference.joint
        assert joint is not None
        features = [reference.features[index] for index in joint.features]
        self._inputs = tuple(dict.fromkeys(feature.input for feature in features))
        self._columns = [(one.input, one.column or 0) for one in features]
        self._mean = np.array(joint.mean)
        size = len(features)
        # Whether the features are the columns of one input, as they stand.
        self._is_plain = [column for _, column in self._columns] == list(range(size)) and (
            len(self._inputs) == 1
        )
        whitening = np.zeros((size, size))
        whitening[np.tril_indices(size)] = joint.whitening
        self._turn = np.ascontiguousarray(whitening.T)
        self._orders: dict[tuple[int, ...], Any] = {}

    def squared(self, tensors: Mapping[str, Tensor]) -> Floats:
        """Return the squared distance of each row, missing values being the mean.

        Inputs of different numbers of rows have no rows together, and so no distances.
        """
        rows = self._rows(tensors)
        return np.zeros(0) if rows is None else _squares(self._turned(rows))

    def farthest(self, tensors: Mapping[str, Tensor]) -> float:
        """Return the greatest of the squared distances; 0 where there are none."""
        rows = self._rows(tensors)
        if rows is None or not len(rows):
            return 0.0
        if len(rows) == 1:  # most requests, for which this is three times as fast
            flat = self._turned(rows).ravel()
            return float(flat.dot(flat))
        blocks = [rows[at : at + _BLOCK_ROWS] for at in range(0, len(rows), _BLOCK_ROWS)]
        return float(np.max([_squares(self._turned(block)).max() for block in blocks]))

    def _turned(self, rows: Tensor) -> Floats:
        """Return vectors whose lengths are the distances of rows."""
        deltas = rows - self._mean
        flat = deltas.ravel()
        if not flat.dot(flat) < _FARTHEST:  # also where a value is missing or infinite
            deltas = np.clip(np.where(np.isnan(deltas), 0.0, deltas), -_FARTHEST, _FARTHEST)
        turned: Floats = deltas.dot(self._turn)
        return turned

    def _rows(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        if self._is_plain:
            only = tensors[self._inputs[0]]
            if only.shape[1:] == self._mean.shape:
                return only
        blocks = [tensors[name] for name in self._inputs]
        blocks = [block if block.ndim == 2 else block.reshape(-1, 1) for block in blocks]
        count = len(blocks[0])
        if any(len(block) != count for block in blocks):
            return None
        joined: Tensor = (
            blocks[0]
            if len(blocks) == 1
            else np.concatenate(blocks, axis=1, dtype=np.float64, casting="unsafe")
        )
        order = self._order(blocks)
        return joined if order is None else joined[:, order]

    def _order(self, blocks: Sequence[Tensor]) -> Any:
        """Say which columns of the joined inputs are the features; None where all are, in order."""
        widths = tuple(block.shape[1] for block in blocks)
        if widths not in self._orders:
            starts = dict(zip(self._inputs, np.cumsum((0, *widths)).tolist(), strict=False))
            order = [starts[name] + column for name, column in self._columns]
            is_plain = order == list(range(sum(widths)))
            self._orders[widths] = None if is_plain else np.array(order)
        return self._orders[widths]


def _squares(vectors: Floats) -> Floats:
    squares: Floats = np.vecdot(vectors, vectors)
    return squares
