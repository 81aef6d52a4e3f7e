"""Protocol Buffers on the wire: the fields of one message, told apart and put together again.

Knows no schema. Admission reads files with it that nobody trusts yet, so nothing here is recursive
and nothing is copied.
"""

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_LARGEST_TAG = (1 << 32) - 1


class Malformed(ValueError):
    """These bytes are no message."""


class Field(NamedTuple):
    """One field: its number, its value where that is a number or bytes, and its own bytes."""

    number: int
    value: int | memoryview
    raw: memoryview

    def text(self) -> str:
        """Return a value that is text. Raises ValueError."""
        return str(self.content(), "utf-8")

    def content(self) -> memoryview:
        """Return a value that is bytes. Raises ValueError."""
        if isinstance(self.value, int):
            raise Malformed("a field that should hold bytes holds a number")
        return self.value

    def integers(self) -> Iterator[int]:
        """Yield a value that is one signed integer, or many in a row. Raises ValueError."""
        if isinstance(self.value, int):
            yield _signed(self.value)
            return
        at = 0
        while at < len(self.value):
            value, at = _read_varint(self.value, at)
            yield _signed(value)


def read_fields(message: memoryview) -> Iterator[Field]:
    """Read the fields of a message in their order. Raises ValueError where it is none."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        # Other readers drop the bits beyond, and would see another field than this one does.
        if not 8 <= tag <= _LARGEST_TAG:
            raise Malformed("a field has a number that no field has")
        wire = tag & 7
        if wire == _VARINT:
            value, at = _read_varint(message, at)
            yield Field(tag >> 3, value, message[start:at])
            continue
        if wire == _LENGTH:
            size, at = _read_varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise Malformed("a field has a form that no message of ONNX uses")
        if at + size > len(message):
            raise Malformed("a field runs past the end")
        yield Field(tag >> 3, message[at : at + size], message[start : at + size])
        at += size


def write_field(number: int, value: int | bytes) -> bytes:
    """Write one field that holds a number or bytes.

    >>> write_field(4, b"Loop")
    b'"\\x04Loop'
    """
    if isinstance(value, int):
        return _write_varint(number << 3 | _VARINT) + _write_varint(value)
    return _write_varint(number << 3 | _LENGTH) + _write_varint(len(value)) + value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(message):
            break
        byte = message[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise Malformed("a number has no end")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _write_varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
