"""Tensors as numpy arrays, and the one canonical byte form of named tensors.

The canonical form is what records commit to and what replay reads, so a JSON request and a binary
request with the same values commit to the same bytes.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from registry.datatypes import Datatype

Tensor = NDArray[Any]


NUMPY_TYPES: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype("<u1"),
    Datatype.UINT16: np.dtype("<u2"),
    Datatype.UINT32: np.dtype("<u4"),
    Datatype.UINT64: np.dtype("<u8"),
    Datatype.INT8: np.dtype("<i1"),
    Datatype.INT16: np.dtype("<i2"),
    Datatype.INT32: np.dtype("<i4"),
    Datatype.INT64: np.dtype("<i8"),
    Datatype.FP16: np.dtype("<f2"),
    Datatype.FP32: np.dtype("<f4"),
    Datatype.FP64: np.dtype("<f8"),
    Datatype.BYTES: np.dtype(object),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
}

# How onnxruntime writes the type of an input or output that is a tensor.
ONNX_TYPES: dict[str, Datatype] = {
    "tensor(bool)": Datatype.BOOL,
    "tensor(uint8)": Datatype.UINT8,
    "tensor(uint16)": Datatype.UINT16,
    "tensor(uint32)": Datatype.UINT32,
    "tensor(uint64)": Datatype.UINT64,
    "tensor(int8)": Datatype.INT8,
    "tensor(int16)": Datatype.INT16,
    "tensor(int32)": Datatype.INT32,
    "tensor(int64)": Datatype.INT64,
    "tensor(float16)": Datatype.FP16,
    "tensor(float)": Datatype.FP32,
    "tensor(double)": Datatype.FP64,
    "tensor(string)": Datatype.BYTES,
    "tensor(bfloat16)": Datatype.BF16,
}

_CODES = {datatype: code for code, datatype in enumerate(Datatype)}
_BY_CODE = dict(enumerate(Datatype))
_BY_NUMPY = {numpy_type: datatype for datatype, numpy_type in NUMPY_TYPES.items()}
_TEXT_KINDS = "OUS"
_HEAD = struct.Struct("<HBB")  # length of the name, datatype, number of dimensions
_LENGTH = struct.Struct("<I")
_SIZE = struct.Struct("<Q")


def datatype_of(tensor: Tensor) -> Datatype:
    """Name the datatype of an array that `NUMPY_TYPES` can hold.

    >>> datatype_of(np.zeros(2, np.float32))
    <Datatype.FP32: 'FP32'>
    """
    return _datatype(tensor.dtype)


@lru_cache(maxsize=256)
def _datatype(numpy_type: np.dtype[Any]) -> Datatype:
    return Datatype.BYTES if numpy_type.kind in _TEXT_KINDS else _BY_NUMPY[numpy_type]


def element_bytes(tensor: Tensor) -> bytes:
    """Write the elements alone: little-endian, row-major, without padding, texts as UTF-8.

    An element of BYTES is its length (u32) and its bytes.
    """
    if tensor.dtype.kind not in _TEXT_KINDS:
        return tensor.tobytes()
    parts: list[bytes] = []
    for element in tensor.ravel().tolist():
        raw = element.encode() if isinstance(element, str) else element
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def encode_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Write named tensors in their one canonical byte form, in the order of the mapping.

    Each tensor is: length of the name (u16), datatype (u8), number of dimensions (u8), name
    (UTF-8), dimensions (u64 each), size of the data (u64), data. All little-endian, row-major. An
    element of BYTES is its length (u32) and its bytes; text counts as UTF-8.
    """
    parts: list[bytes] = []
    for name, tensor in tensors.items():
        numpy_type = tensor.dtype
        if numpy_type.kind in _TEXT_KINDS:
            data = element_bytes(tensor)
            parts += (_head(name, numpy_type, tensor.shape, len(data)), data)
        else:
            parts += (_fixed_head(name, numpy_type, tensor.shape), tensor.tobytes())
    return b"".join(parts)


def _head(name: str, numpy_type: np.dtype[Any], shape: tuple[int, ...], size: int) -> bytes:
    label = name.encode()
    head = _HEAD.pack(len(label), _CODES[_datatype(numpy_type)], len(shape))
    return head + label + struct.pack(f"<{len(shape) + 1}Q", *shape, size)


@lru_cache(maxsize=4096)
def _fixed_head(name: str, numpy_type: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the head of a tensor whose shape says how long its data is: often the last one's."""
    return _head(name, numpy_type, shape, prod(shape) * numpy_type.itemsize)


def decode_tensors(data: bytes) -> dict[str, Tensor]:
    """Read what `encode_tensors` wrote; BYTES elements come back as `bytes`.

    Raises ValueError where the bytes are not a canonical form.
    """
    tensors: dict[str, Tensor] = {}
    at = 0
    try:
        while at < len(data):
            length, code, rank = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = data[at : at + length].decode()
            at += length
            *shape, size = struct.unpack_from(f"<{rank + 1}Q", data, at)
            at += _SIZE.size * (rank + 1)
            if at + size > len(data):
                raise ValueError("a tensor runs past the end")
            tensors[name] = _tensor(_BY_CODE[code], shape, data[at : at + size])
            at += size
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ValueError("these bytes are not the canonical form of tensors") from error
    return tensors


def _tensor(datatype: Datatype, shape: list[int], data: bytes) -> Tensor:
    if datatype is not Datatype.BYTES:
        return np.frombuffer(data, NUMPY_TYPES[datatype]).reshape(shape)
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        elements.append(data[at : at + length])
        at += length
    tensor = np.empty(len(elements), object)
    tensor[:] = elements
    return tensor.reshape(shape)


def with_texts(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn elements of BYTES into texts, as models compute with them. Raises UnicodeDecodeError."""
    return {
        name: _as_texts(tensor) if tensor.dtype.kind in _TEXT_KINDS else tensor
        for name, tensor in tensors.items()
    }


def _as_texts(tensor: Tensor) -> Tensor:
    texts = np.empty(tensor.size, object)
    texts[:] = [e if isinstance(e, str) else e.decode() for e in tensor.ravel().tolist()]
    return texts.reshape(tensor.shape)
