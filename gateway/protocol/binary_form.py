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
from registry.datatypes import Datatype
from registry.manifest import TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

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
            _count_bad_truth(data, spec, shape, tally)
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


def _count_bad_truth(data: memoryview, spec: TensorSpec, shape: Shape, tally: Tally) -> None:
    """Count the first byte that is neither 0 nor 1; the others are as many as a caller likes."""
    index = int(np.argmax(np.frombuffer(data, _BYTE) > 1))
    width = shape[-1] if len(shape) > 1 else 1
    row = index // prod(shape[1:]) if shape else None
    column = index % width if width > 1 else None
    tally.add(spec.name, "dtype-mismatch", "a byte 0 or 1", row=row, column=column)


def _read_texts(data: memoryview, spec: TensorSpec, shape: Shape, tally: Tally) -> Tensor | None:
    raw, count = bytes(data), prod(shape)
    texts: list[str] = []
    at = 0
    try:
        for _ in range(count):
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(raw, at)[0]
            if at > len(raw):
                break
            texts.append(raw[start:at].decode())
    except (struct.error, UnicodeDecodeError):
        at = -1
    if at != len(raw) or len(texts) != count:
        # What follows the last text is nobody's; else the text at fault is the one not read.
        row = len(texts) // prod(shape[1:]) if shape and len(texts) < count else None
        tally.add(
            spec.name, "bad-bytes", f"{count} texts of UTF-8, each behind its length", row=row
        )
        return None
    tensor = np.empty(count, object)
    tensor[:] = texts
    return tensor.reshape(shape)
