"""The `data` of one JSON tensor as a numpy array, or what is wrong with it.

Values are taken exactly as their datatype holds them. A number may be written with or without a
fraction for FP16, FP32, FP64 and BF16 and is rounded to the nearest value, for BF16 by way of FP32;
integers must be integers in range; BOOL is `true` or `false`; BYTES are strings. A null is a
missing value: NaN in floating datatypes, the empty string in BYTES, and refused elsewhere.
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
from registry.datatypes import Datatype
from registry.manifest import TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

_starts_nested = re.compile(rb"\s*\[\s*\[").match
_NULL = np.array(None, object)
# What reading and converting raise for values of the wrong type, size or arrangement. ValueError
# includes msgspec's errors.
REFUSED = (ValueError, OverflowError, RecursionError)
# ml_dtypes makes no missing value of None, so BF16 is read as the wider type.
READ_AS = {**NUMPY_TYPES, Datatype.BF16: NUMPY_TYPES[Datatype.FP32]}


def read_values(data: Raw, spec: TensorSpec, shape: Shape, tally: Tally) -> Tensor | None:
    """Return `data`, flat or nested, as an array of `shape`; None after counting its violations.

    Flat data has exactly as many elements as the shape, nested data exactly the shape.
    """
    is_nested = _starts_nested(data) is not None
    decode = _decoder(spec.datatype, len(shape) if is_nested else 1)
    try:
        array: Tensor = np.array(decode(data), READ_AS[spec.datatype])
        if is_nested and array.shape != shape:
            _check_emptied(array, shape)
        array = array.reshape(shape)
    except REFUSED:
        explain(bytes(data), spec, shape, tally)
        return None
    if spec.datatype is Datatype.BYTES and b"null" in bytes(data):
        fill_missing(array)
    return array.astype(NUMPY_TYPES[spec.datatype], copy=False)


def fill_missing(texts: Tensor) -> None:
    """Put the empty text in place of each None."""
    texts[np.equal(texts, _NULL)] = ""


def _check_emptied(array: Tensor, shape: Shape) -> None:
    """Raise ValueError unless lists lack only dimensions behind a 0, which leave no trace."""
    if array.size or array.shape != shape[: array.ndim]:
        raise ValueError("the lists are not nested as the shape says")


@cache
def _decoder(datatype: Datatype, depth: int) -> Any:
    values: Any = list[element_type(datatype)]  # type: ignore[misc]
    for _ in range(depth - 1):
        values = list[values]
    return msgspec.json.Decoder(values).decode


def element_type(datatype: Datatype) -> Any:
    """Return what msgspec reads one element as, within its limits."""
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
