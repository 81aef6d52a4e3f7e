"""Says what is wrong with the `data` of a JSON tensor, after the fast reading refused it."""

import json
import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from gateway.protocol.declarations import MAX_RANK, Shape
from gateway.protocol.refusal import Tally
from registry.datatypes import Datatype
from registry.manifest import TensorSpec
from registry.tensors import NUMPY_TYPES

# The least magnitude that rounds to infinity: the largest number plus half of its last place.
FLOAT_LIMITS = {
    Datatype.FP16: 65_520.0,
    Datatype.FP32: 2.0**128 - 2.0**103,
    Datatype.FP64: math.inf,
    # Read as FP32 first, so what FP32 rounds up to the limit of BF16 is beyond it as well.
    Datatype.BF16: 2.0**128 - 2.0**119 - 2.0**103,
}
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1
# CPython refuses to read integers of more than 4,300 digits; none of these fits any datatype.
_MOST_DIGITS = 400


def explain(data: bytes, spec: TensorSpec, shape: Shape, tally: Tally) -> None:
    """Count at least one violation of `data`, which is JSON that `spec` and `shape` do not fit."""
    try:
        # Integers become floats where the datatype is one, rounded as the fast reading does.
        values = json.loads(data, parse_int=float if spec.datatype in FLOAT_LIMITS else _integer)
    except RecursionError:
        values = None
    if (values is None and data != b"null") or _depth_passes(values, MAX_RANK):
        tally.add(spec.name, "too-deep", f"at most {MAX_RANK} nested lists")
        return
    elements = math.prod(shape)
    leaves = _leaves(values, shape)
    if leaves is None:
        leaves = _leaves(values, (elements,))
    if leaves is None:
        expected = f"{elements} values, flat or nested as shape {list(shape)}"
        tally.add(spec.name, "shape-data-mismatch", expected)
        return
    _count_bad_elements(leaves, spec, shape, tally)


def _count_bad_elements(leaves: list[Any], spec: TensorSpec, shape: Shape, tally: Tally) -> None:
    fault = _fault_of(spec.datatype)
    expected = _expected(spec.datatype)
    width = shape[-1] if len(shape) > 1 else 1
    per_row = math.prod(shape[1:])
    for index, leaf in enumerate(leaves):
        rule = fault(leaf)
        if rule is not None:
            row = index // per_row if shape else None
            column = index % width if width > 1 else None
            tally.add(spec.name, rule, expected, row=row, column=column)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _depth_passes(values: Any, limit: int) -> bool:
    level = [values]
    for _ in range(limit + 1):
        level = [part for part in level if type(part) is list]
        if not level:
            return False
        level = list(chain.from_iterable(level))
    return True


def _leaves(values: Any, shape: Shape) -> list[Any] | None:
    """Flatten lists nested exactly as `shape` says; None where they are not."""
    level = [values]
    for size in shape:
        if any(type(part) is not list or len(part) != size for part in level):
            return None
        level = list(chain.from_iterable(level))
    return None if any(type(leaf) is list for leaf in level) else level


def _fault_of(datatype: Datatype) -> Callable[[Any], str | None]:
    """Return the function that names what is wrong with one element, None where nothing is."""
    if datatype is Datatype.BYTES:
        return lambda leaf: None if leaf is None or type(leaf) is str else "dtype-mismatch"
    if datatype is Datatype.BOOL:
        return lambda leaf: None if type(leaf) is bool else _number_fault(leaf)
    if datatype in FLOAT_LIMITS:
        return _float_fault(FLOAT_LIMITS[datatype])
    return _integer_fault(datatype)


def _float_fault(limit: float) -> Callable[[Any], str | None]:
    def fault(leaf: Any) -> str | None:
        if leaf is None:
            return None
        if type(leaf) is not float:
            return "dtype-mismatch"
        return None if -limit < leaf < limit else "number-out-of-range"

    return fault


def _integer_fault(datatype: Datatype) -> Callable[[Any], str | None]:
    bounds = np.iinfo(NUMPY_TYPES[datatype])
    low, high = int(bounds.min), int(bounds.max)

    def fault(leaf: Any) -> str | None:
        return None if type(leaf) is int and low <= leaf <= high else _number_fault(leaf)

    return fault


def _number_fault(leaf: Any) -> str:
    """Tell a number that no datatype holds from a value of another datatype."""
    if type(leaf) is float and math.isinf(leaf):
        return "number-out-of-range"
    if type(leaf) is int and not _INT64_MIN <= leaf <= _UINT64_MAX:
        return "number-out-of-range"
    return "dtype-mismatch"


def _expected(datatype: Datatype) -> str:
    if datatype is Datatype.BYTES:
        return "a text"
    if datatype is Datatype.BOOL:
        return "true or false"
    if datatype in FLOAT_LIMITS:
        return f"a number that {datatype} holds"
    bounds = np.iinfo(NUMPY_TYPES[datatype])
    return f"a whole number from {bounds.min} to {bounds.max}"
