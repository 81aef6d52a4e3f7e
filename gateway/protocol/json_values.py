"""The `data` of one JSON tensor as a numpy array, or what is wrong with it.

Values are taken exactly as their datatype holds them. A number may be written with or without a
fraction for FP16, FP32 and FP64 and is rounded to the nearest value; integers must be integers in
range; BOOL is `true` or `false`; BYTES are strings. A null is a missing value: NaN in floating
datatypes, the empty string in BYTES, and refused elsewhere.
"""

import re
from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Raw

from gateway.protocol.declarations import Shape
from gateway.protocol.json_faults import FLOAT_LIMITS, explain
from gateway.protocol.refusal import Tally
from registry.records import TensorSpec
from registry.tensors import NUMPY_TYPES, Datatype, Tensor

_starts_nested = re.compile(rb"\s*\[\s*\[").match
_NULL = np.array(None, object)
# What reading and converting raise for values of the wrong type, size or arrangement. ValueError
# includes msgspec's errors.
_REFUSED = (ValueError, OverflowError, RecursionError)


def read_values(data: Raw, spec: TensorSpec, shape: Shape, tally: Tally) -> Tensor | None:
    """Return `data`, flat or nested, as an array of `shape`; None after counting its violations.

    Flat data has exactly as many elements as the shape, nested data exactly the shape.
    """
    nested = _starts_nested(data) is not None
    decode = _decoder(spec.datatype, len(shape) if nested else 1)
    try:
        array = np.array(decode(data), NUMPY_TYPES[spec.datatype])
        if nested and array.shape != shape:
            _check_emptied(array, shape)
        array = array.reshape(shape)
    except _REFUSED:
        explain(bytes(data), spec, shape, tally)
        return None
    if spec.datatype is Datatype.BYTES and b"null" in bytes(data):
        array[np.equal(array, _NULL)] = ""
    return array


def _check_emptied(array: Tensor, shape: Shape) -> None:
    """Raise ValueError unless lists lack only dimensions behind a 0, which leave no trace."""
    if array.size or array.shape != shape[: array.ndim]:
        raise ValueError("the lists are not nested as the shape says")


@cache
def _decoder(datatype: Datatype, depth: int) -> Any:
    values: Any = list[_element(datatype)]  # type: ignore[misc]
    for _ in range(depth - 1):
        values = list[values]
    return msgspec.json.Decoder(values).decode


def _element(datatype: Datatype) -> Any:
    if datatype is Datatype.BYTES:
        return str | None
    if datatype is Datatype.BOOL:
        return bool
    if datatype is Datatype.FP64:
        return float | None  # msgspec refuses a number that a double cannot hold
    if datatype in FLOAT_LIMITS:
        limit = FLOAT_LIMITS[datatype]
        return Annotated[float, Meta(gt=-limit, lt=limit)] | None
    return int  # numpy raises OverflowError for an integer that its type cannot hold
