"""What rules that repair make of values: the nearest value of a range, another for a missing one.

The same contract makes the same of the same input, bit for bit, so what is kept of a request is
what its caller sent, and a replay repairs it once more. Ranges in the datatypes of the protocol
stand here too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from registry.datatypes import FLOATS, Datatype
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

Interval = tuple[float, float]
Repair = Callable[[Tensor], Tensor]


class Repairs:
    """The repairs of one contract."""

    def __init__(self, signature: Signature, contract: Contract) -> None:
        self._by_input = {
            spec.name: repairs
            for spec in signature.inputs
            if (repairs := _repairs(spec, [r for r in contract.rules if r.input == spec.name]))
        }

    def apply(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors with every value repaired that a repairing rule is broken by.

        Tensors without such a rule are the ones given; none is written to.
        """
        return {name: self._repaired(name, tensor) for name, tensor in tensors.items()}

    def _repaired(self, name: str, tensor: Tensor) -> Tensor:
        for repair in self._by_input.get(name, ()):
            tensor = repair(tensor)
        return tensor


def fold(spec: TensorSpec, ranges: Sequence[Rule]) -> list[Interval]:
    """Intersect the ranges of a tensor: one interval for all values, or one for each column."""
    by_column = any(rule.column is not None for rule in ranges)
    intervals = [(-math.inf, math.inf)] * (spec.shape[-1] if by_column else 1)
    for rule in ranges:
        columns = range(len(intervals)) if rule.column is None else (rule.column,)
        for column in columns:
            low, high = intervals[column]
            least = low if rule.low is None else max(low, rule.low)
            most = high if rule.high is None else min(high, rule.high)
            intervals[column] = least, most
    return intervals


def bounds(datatype: Datatype, intervals: Sequence[Interval]) -> tuple[Tensor, Tensor]:
    """Express intervals in a datatype, as arrays of their least and greatest values.

    Bounds are rounded as a caller's numbers are, those of integers inwards; where an interval holds
    no value of the datatype they cross. One interval gives arrays without a dimension, which leave
    a tensor its shape.
    """
    numpy_type = NUMPY_TYPES[datatype]
    pairs = [_bounds(datatype, interval) for interval in intervals]
    low = np.array([least for least, _ in pairs], numpy_type)
    high = np.array([most for _, most in pairs], numpy_type)
    if len(pairs) == 1:
        return low.reshape(()), high.reshape(())
    return low, high


def _bounds(datatype: Datatype, interval: Interval) -> tuple[Any, Any]:
    low, high = interval
    numpy_type = NUMPY_TYPES[datatype]
    if datatype in FLOATS:
        with np.errstate(over="ignore"):  # a bound beyond the datatype is infinite
            return np.array(low).astype(numpy_type), np.array(high).astype(numpy_type)
    limits = np.iinfo(numpy_type)
    least = limits.min if low <= limits.min else math.ceil(min(low, limits.max + 1))
    most = limits.max if high >= limits.max else math.floor(max(high, limits.min - 1))
    if least > limits.max or most < limits.min:
        return limits.max, limits.min
    return least, most


def _repairs(spec: TensorSpec, rules: Sequence[Rule]) -> list[Repair]:
    clips = [r for r in rules if r.kind is RuleKind.RANGE and r.action is Action.CLIP]
    repairs: list[Repair] = [_clip(spec, clips)] if clips else []
    repairs += [
        _impute(spec, rule)
        for rule in rules
        if rule.kind is RuleKind.MISSING and rule.action is Action.IMPUTE
    ]
    return repairs


def _clip(spec: TensorSpec, ranges: Sequence[Rule]) -> Repair:
    """Move what lies outside to the nearest bound; NaN stays what it is."""
    low, high = bounds(spec.datatype, fold(spec, ranges))
    wide = NUMPY_TYPES[Datatype.FP32]
    if spec.datatype is Datatype.BF16:  # whose own comparisons warn of NaN; FP32 has all its values
        low, high = low.astype(wide), high.astype(wide)

    def clip(tensor: Tensor) -> Tensor:
        compared = tensor.astype(wide) if spec.datatype is Datatype.BF16 else tensor
        # What is within keeps its bits, those of a NaN too.
        is_outside = (compared < low) | (compared > high)
        return np.where(is_outside, np.clip(compared, low, high).astype(tensor.dtype), tensor)

    return clip


def _impute(spec: TensorSpec, rule: Rule) -> Repair:
    if spec.datatype is Datatype.BYTES:
        is_missing: Callable[[Tensor], Any] = _are_empty
        value = np.array(rule.value, object)
    else:
        is_missing = np.isnan
        value = np.array(rule.value).astype(NUMPY_TYPES[spec.datatype])

    def impute(tensor: Tensor) -> Tensor:
        marks = is_missing(tensor)
        if rule.column is not None:
            marks = marks & (np.arange(tensor.shape[-1]) == rule.column)
        return np.where(marks, value, tensor)

    return impute


def _are_empty(tensor: Tensor) -> Tensor:
    marks = [not text for text in tensor.ravel().tolist()]
    return np.array(marks, np.bool_).reshape(tensor.shape)
