"""How far the rows of a request lie from the middle of the reference, by its joint distances."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.distribution import Reference
from registry.tensors import Tensor

Floats = NDArray[np.float64]

# Larger products leave the processor's cache.
_BLOCK_ROWS = 256
_QUICK_ROWS = 1024
_UNIT = 2.0**-24  # the unit roundoff of single precision
_MOST_POWERS = 100  # of two, which single precision holds with room for what is scaled
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
        self._quick = _Quick.of(self._mean, whitening)
        self._orders: dict[tuple[int, ...], Any] = {}

    def squared(self, tensors: Mapping[str, Tensor]) -> Floats:
        """Return the squared distance of each row, missing values being the mean.

        Inputs of different numbers of rows have no rows together, and so no distances.
        """
        rows = self._rows(tensors)
        return np.zeros(0) if rows is None else _squares(self._turned(rows))

    def is_within(self, tensors: Mapping[str, Tensor], bound: float) -> bool:
        """Say whether no row has a squared distance above a bound."""
        rows = self._rows(tensors)
        if rows is None or not len(rows):
            return True
        if len(rows) == 1:  # most requests, for which this is three times as fast
            flat = self._turned(rows).ravel()
            return bool(flat.dot(flat) <= bound)
        return all(
            self._quick.is_within(block, bound) or self._farthest(block) <= bound
            for block in _blocks(rows, _QUICK_ROWS)
        )

    def _farthest(self, rows: Tensor) -> float:
        blocks = _blocks(rows, _BLOCK_ROWS)
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


class _Quick(Struct, frozen=True):
    """Shows in single precision that rows are near, whatever rounding made of them.

    Deltas are scaled by powers of two, which is exact, so that the columns of `turn` are of like
    size. Then, with n features and u the unit roundoff, the turned deltas are off by less than
    1.1 u |turn| ((n + 2) |deltas| + |middle|), in Euclidean and Frobenius norms, by the bounds of
    Higham, Accuracy and Stability of Numerical Algorithms, chapter 3: that of a rounded mean, a
    difference, and a product of n terms in any order. That much is added to what was computed.
    """

    scale: Tensor
    middle: Tensor
    turn: Tensor
    ones: Tensor
    off_by_deltas: float
    off_by_middle: float

    @classmethod
    def of(cls, mean: Floats, whitening: Floats) -> "_Quick":
        with np.errstate(all="ignore"):  # what becomes infinite is never near
            sizes = np.log2(np.linalg.norm(whitening, axis=0))
            scale = 2.0 ** np.clip(np.round(sizes), -_MOST_POWERS, _MOST_POWERS)
            turn, middle = (whitening / scale).T, mean * scale
            off = 1.1 * _UNIT * float(np.linalg.norm(turn))
            return cls(
                scale=scale.astype(np.float32),
                middle=middle.astype(np.float32),
                turn=np.ascontiguousarray(turn, np.float32),
                ones=np.ones(len(mean), np.float32),
                off_by_deltas=off * (len(mean) + 2),
                off_by_middle=off * float(np.linalg.norm(middle)),
            )

    def is_within(self, rows: Tensor, bound: float) -> bool:
        """Say yes only where the squared distance of no row is above the bound.

        No also where that cannot be shown: of other datatypes, and where a value is missing.
        """
        if rows.dtype != np.float32:
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            deltas = rows * self.scale
            deltas -= self.middle
            flat = deltas.ravel()
            squares = float(flat.dot(flat))
            if not squares < np.inf:
                return False
            turned = deltas.dot(self.turn)
            turned *= turned
            farthest = float(turned.dot(self.ones).max())
        # A sum of up to 2**18 squares is off by 2 %, one of 256 by 0.01 %.
        error = self.off_by_deltas * sqrt(1.1 * squares) + self.off_by_middle
        return 1.001 * sqrt(farthest) + error <= sqrt(bound)


def _blocks(rows: Tensor, size: int) -> Iterator[Tensor]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _squares(vectors: Floats) -> Floats:
    squares: Floats = np.vecdot(vectors, vectors)
    return squares
