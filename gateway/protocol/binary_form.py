"""The protocol's binary form: the bytes of one tensor, little-endian and row-major.

Numbers are not copied, but where they lie in memory as the runtime cannot read them. NaN, whatever
its bits, is a missing value, as null is in JSON; infinities are numbers as good as any, which a
range of the contract refuses. A byte of BOOL is 0 or 1, so that equal values have equal bytes.
Elements of BYTES are texts, since that is what models compute with.
"""

import struct
from math import prod

import numpy as np

from gateway.protocol.declarations import Shape
from gateway.protocol.refusal import Tally
from registry.records import TensorSpec
from registry.tensors import NUMPY_TYPES, Datatype, Tensor

_LENGTH = struct.Struct("<I")
_BYTE = np.dtype(np.uint8)


def read_bytes(data: memoryview, spec: TensorSpec, shape: Shape, tally: Tally) -> Tensor | None:
    """Return the tensor that `data` holds; None after counting what is wrong with it."""
    if spec.datatype is Datatype.BYTES:
        return _read_texts(data, spec, shape, tally)
    tensor = read_numbers(data, spec.datatype, shape)
    if tensor is None:
        size = prod(shape) * NUMPY_TYPES[spec.datatype].itemsize
        if len(data) == size:
            _count_bad_truths(data, spec, shape, tally)
        else:
            tally.add(spec.name, "bad-binary-size", f"{size} bytes")
    return tensor


def read_numbers(data: memoryview, datatype: Datatype, shape: Shape) -> Tensor | None:
    """Return the tensor that `data` holds; None where it has another size or a strange BOOL."""
    numpy_type = NUMPY_TYPES[datatype]
    if len(data) != prod(shape) * numpy_type.itemsize:
        return None
    tensor: Tensor = np.frombuffer(data, numpy_type).reshape(shape)
    if datatype is Datatype.BOOL and np.count_nonzero(tensor.view(_BYTE) > 1):
        return None
    return tensor if tensor.flags.aligned else tensor.copy()


def _count_bad_truths(data: memoryview, spec: TensorSpec, shape: Shape, tally: Tally) -> None:
    per_row = prod(shape[1:])
    width = shape[-1] if len(shape) > 1 else 1
    for index in np.flatnonzero(np.frombuffer(data, _BYTE) > 1).tolist():
        row = index // per_row if shape else None
        column = index % width if width > 1 else None
        tally.add(spec.name, "dtype-mismatch", "a byte 0 or 1", row=row, column=column)


def _read_texts(data: memoryview, spec: TensorSpec, shape: Shape, tally: Tally) -> Tensor | None:
    count = prod(shape)
    texts = np.empty(count, object)
    at = 0
    for index in range(count):
        text = _text_at(data, at)
        if text is None:
            row = index // prod(shape[1:]) if shape else None
            tally.add(spec.name, "bad-bytes", "a length and so many bytes of UTF-8", row=row)
            return None
        at += _LENGTH.size + text[0]
        texts[index] = text[1]
    if at != len(data):
        tally.add(spec.name, "bad-bytes", f"{count} texts and nothing behind them")
        return None
    return texts.reshape(shape)


def _text_at(data: memoryview, at: int) -> tuple[int, str] | None:
    start = at + _LENGTH.size
    if start > len(data):
        return None
    (length,) = _LENGTH.unpack_from(data, at)
    if start + length > len(data):
        return None
    try:
        return length, str(data[start : start + length], "utf-8")
    except UnicodeDecodeError:
        return None
