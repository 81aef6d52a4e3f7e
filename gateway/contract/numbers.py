"""How rules on numbers are tested: masks over whole tensors."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from registry.datatypes import Datatype
from registry.manifest import Rule, TensorSpec
from registry.repairs import Interval, bounds
from registry.tensors import NUMPY_TYPES, Tensor

Mask = NDArray[np.bool_]
Marker = Callable[[Tensor], Mask]

_WIDE = NUMPY_TYPES[Datatype.FP32]


def leaves(spec: TensorSpec, intervals: Sequence[Interval]) -> Marker:
    """Mark the values outside of the intervals; NaN compares false, so it is never marked."""
    low, high = bounds(spec.datatype, intervals)
    if spec.datatype is Datatype.BF16:  # whose own comparisons warn of NaN
        low, high = low.astype(_WIDE), high.astype(_WIDE)
        return lambda tensor: (tensor.astype(_WIDE) < low) | (tensor.astype(_WIDE) > high)
    return lambda tensor: (tensor < low) | (tensor > high)


def is_fractional(spec: TensorSpec) -> Marker:
    """Mark the values that are not whole; NaN compares false, and an infinity is its own floor."""
    if spec.datatype is Datatype.BF16:
        return lambda tensor: np.floor(tensor.astype(_WIDE)) < tensor.astype(_WIDE)
    return lambda tensor: np.floor(tensor) < tensor


def is_not_finite(tensor: Tensor) -> Mask:
    """Mark infinities and NaN."""
    marks: Mask = ~np.isfinite(tensor)
    return marks


def in_columns(spec: TensorSpec, rules: Sequence[Rule], marks: Marker) -> Marker:
    """Mark what is in the columns of the rules alone; in all where a rule names none."""
    columns = [rule.column for rule in rules if rule.column is not None]
    if len(columns) < len(rules) or set(columns) == set(range(spec.shape[-1])):
        return marks
    watched = np.zeros(spec.shape[-1], np.bool_)
    watched[columns] = True
    return lambda tensor: marks(tensor) & watched


def only_columns(spec: TensorSpec, rules: Sequence[Rule], marks: Marker) -> Marker:
    """Mark nothing but what is in the columns of the rules, in a mask that has no others."""
    columns = [rule.column for rule in rules if rule.column is not None]
    if len(columns) < len(rules) or set(columns) == set(range(spec.shape[-1])):
        return marks
    taken = np.array(sorted(set(columns)))
    return lambda tensor: marks(tensor.take(taken, -1))


def marks_nothing(marks: Marker) -> Callable[[Tensor], bool]:
    return lambda tensor: not np.count_nonzero(marks(tensor))
