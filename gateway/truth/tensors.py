"""Tensors in their canonical bytes, read without numpy: the controller has none.

The form is that of `registry.tensors.encode_tensors`.
"""

import struct
import sys
from array import array
from collections.abc import Collection
from math import prod
from typing import Any

from msgspec import Struct

from registry.datatypes import Datatype

_BY_CODE = dict(enumerate(Datatype))
_HEAD = struct.Struct("<HBB")
_LENGTH = struct.Struct("<I")
# How `array` names the elements of a datatype; of the others see `_elements`.
_ARRAYS = {
    Datatype.UINT8: "B",
    Datatype.UINT16: "H",
    Datatype.UINT32: "I",
    Datatype.UINT64: "Q",
    Datatype.INT8: "b",
    Datatype.INT16: "h",
    Datatype.INT32: "i",
    Datatype.INT64: "q",
    Datatype.FP32: "f",
    Datatype.FP64: "d",
}


class Rows(Struct, frozen=True):
    """A tensor whose first dimension counts rows: `width` elements of each, one after the other.

    Texts are `str`; bytes that are no UTF-8 read with signs in their place.
    """

    count: int
    width: int
    elements: list[Any]

    def row(self, number: int) -> list[Any]:
        """Return the elements of one row; none where there is no such row."""
        return self.elements[number * self.width : (number + 1) * self.width]


def read_rows(data: bytes, wanted: Collection[str]) -> dict[str, Rows]:
    """Read the tensors that are wanted by name, as far as they are there.

    Raises ValueError where the bytes are not a canonical form.
    """
    found: dict[str, Rows] = {}
    at = 0
    try:
        while at < len(data):
            length, code, rank = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = data[at : at + length].decode()
            at += length
            *shape, size = struct.unpack_from(f"<{rank + 1}Q", data, at)
            at += 8 * (rank + 1)
            if name in wanted:
                count = shape[0] if shape else 1
                elements = _elements(_BY_CODE[code], data[at : at + size])
                found[name] = Rows(count, prod(shape[1:]), elements)
            at += size
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ValueError("these bytes are not the canonical form of tensors") from error
    return found


def _elements(datatype: Datatype, data: bytes) -> list[Any]:
    if datatype is Datatype.BYTES:
        return _texts(data)
    if datatype is Datatype.BOOL:
        return [bool(byte) for byte in data]
    if datatype is Datatype.FP16:
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    if datatype is Datatype.BF16:  # the upper half of an FP32
        halves = (data[at : at + 2] for at in range(0, len(data), 2))
        data, datatype = b"".join(b"\0\0" + half for half in halves), Datatype.FP32
    elements = array(_ARRAYS[datatype], data)
    if sys.byteorder == "big":
        elements.byteswap()
    return elements.tolist()


def _texts(data: bytes) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        texts.append(data[at : at + length].decode(errors="replace"))
        at += length
    return texts
