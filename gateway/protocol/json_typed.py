"""Inputs whose JSON data is read in one pass with the body around it, as what their datatype holds.

msgspec finds the type of an input by its datatype before it reads the data, and holds each number
to the limits of the datatype. Where `gateway.protocol.json_numbers` has read many at once, numpy
holds all of them to the limits.
"""

import operator
from collections.abc import Callable
from functools import lru_cache, partial, reduce
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct

from gateway.protocol.declarations import has_shape
from gateway.protocol.json_values import READ_AS, REFUSED, element_type, fill_missing
from registry.datatypes import Datatype
from registry.manifest import TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

# Whose limits numpy can check: what is beyond becomes infinite.
_WIDE = frozenset({Datatype.FP16, Datatype.FP32, Datatype.FP64})


class TypedInput(Struct, gc=False):
    """One input whose data, flat or nested once, was read as what its datatype holds."""

    name: str
    shape: tuple[int, ...]
    data: Any = UNSET
    parameters: Any = None


Maker = Callable[[TypedInput, bytes], Tensor | None]
_array = np.array


def tensor_makers(spec: TensorSpec) -> dict[type[TypedInput], Maker]:
    """Return what makes a tensor of an input, by each type that inputs of its datatype may have.

    It returns None where shape or data are unfit.
    """
    makers = {_CHECKED[spec.datatype]: _maker(spec, _array)}
    if spec.datatype in _WIDE:
        makers[NUMBERS[spec.datatype]] = _maker(spec, _array_in_limits)
    return makers


def _maker(spec: TensorSpec, read: Callable[..., Tensor]) -> Maker:
    fits = lru_cache(maxsize=64)(partial(has_shape, spec))
    numpy_type = READ_AS[spec.datatype]
    is_text = spec.datatype is Datatype.BYTES
    narrow = NUMPY_TYPES[spec.datatype] if spec.datatype is Datatype.BF16 else None

    def make(sent: TypedInput, head: bytes) -> Tensor | None:
        if sent.data is UNSET or not fits(sent.shape):
            return None
        try:
            array = read(sent.data, numpy_type)
            if array.shape != sent.shape:
                if array.ndim > 1:
                    return None
                array = array.reshape(sent.shape)
        except REFUSED:
            return None
        if is_text and b"null" in head:
            fill_missing(array)
        return array if narrow is None else array.astype(narrow)

    return make


def _array_in_limits(values: Tensor, numpy_type: np.dtype[Any]) -> Tensor:
    with np.errstate(over="ignore"):
        array: Tensor = _array(values, numpy_type)
    if np.isinf(array).any():
        raise OverflowError("a number became infinite")
    return array


def _kind(datatype: Datatype) -> type[TypedInput]:
    element: Any = element_type(datatype)
    # Texts are read flat only: lists among texts would pass for elements of an array of objects.
    nested: Any = element if datatype is Datatype.BYTES else element | list[element]
    kind: Any = msgspec.defstruct(
        f"{datatype.capitalize()}Input",
        [("data", list[nested], UNSET)],
        bases=(TypedInput,),
        gc=False,
        tag_field="datatype",
        tag=datatype.value,
    )
    typed: type[TypedInput] = kind
    return typed


_CHECKED = {datatype: _kind(datatype) for datatype in Datatype}
TYPED_INPUT: Any = reduce(operator.or_, _CHECKED.values())
# Inputs whose data is an array of doubles, not held to any limits.
NUMBERS: Any = {
    datatype: msgspec.defstruct(
        f"{datatype.capitalize()}Numbers", [], bases=(TypedInput,), gc=False
    )
    for datatype in _WIDE
}
