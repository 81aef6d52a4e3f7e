"""Long bodies of floating-point numbers, read without making a Python object of each number.

simdjson reads the whole body, holds it to RFC 8259, and gives the numbers of an array as the bytes
of doubles. What it would take more loosely than the rest of this package, and what is not plain, is
left to that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import simdjson

from gateway.protocol.json_typed import NUMBERS, TypedInput
from registry.tensors import Tensor

_LONGEST_BYTES = 1 << 20  # the parser keeps memory for the longest body that it was given
_parser = simdjson.Parser(max_capacity=_LONGEST_BYTES)
_OTHERS = ("id", "parameters", "outputs")
_KNOWN = {datatype.value: kind for datatype, kind in NUMBERS.items()}


class _NotPlain(Exception):
    """The body has something that is read elsewhere."""


def read_members(head: bytes) -> dict[str, Any] | None:
    """Return the members of a body with `inputs` read, each with its numbers as an array.

    None where an input is not one of floating-point numbers, flat or nested once, and for what is
    no JSON, more than 1 MiB or not a request.
    """
    if head[:1] != b"{":  # nor white space, nor a byte order mark
        return None
    try:
        body: Any = _parser.parse(head)
        inputs = [_read_input(sent) for sent in _array(body["inputs"])]
        given = list(body)  # since asking for what is not there takes long
        members = {name: _plain(body[name]) for name in _OTHERS if name in given}
    # Of simdjson RuntimeError is what is too deep, and another thread that is reading now.
    except (_NotPlain, AttributeError, KeyError, TypeError, ValueError, RuntimeError):
        return None
    # A list among the numbers would not be told from them: every list must be accounted for.
    lists = 1 + isinstance(members.get("outputs"), list)
    lists += sum(2 + (len(sent.data) if sent.data.ndim > 1 else 0) for sent in inputs)
    return {**members, "inputs": inputs} if head.count(b"[") == lists else None


def _read_input(sent: Any) -> TypedInput:
    kind = _KNOWN.get(sent["datatype"])
    if kind is None:
        raise _NotPlain
    shape: Sequence[Any] = _array(sent["shape"]).as_list()
    if any(type(size) is not int for size in shape):
        raise _NotPlain
    name = sent["name"]
    if type(name) is not str:
        raise _NotPlain
    parameters = _plain(sent["parameters"]) if "parameters" in list(sent) else None
    read: TypedInput = kind(name, tuple(shape), _read_numbers(_array(sent["data"])), parameters)
    return read


def _read_numbers(data: Any) -> Tensor:
    """Return numbers, flat or in lists of one length, as doubles."""
    numbers: Tensor = np.frombuffer(data.as_buffer(of_type="d"), np.float64)
    if numbers.size and isinstance(data[0], simdjson.Array):
        width = len(data[0])
        if any(len(row) != width for row in data):
            raise _NotPlain
        return numbers.reshape(len(data), width)
    return numbers


def _array(value: Any) -> Any:
    if not isinstance(value, simdjson.Array):
        raise _NotPlain
    return value


def _plain(value: Any) -> Any:
    """Copy a value out of the parser, whose memory the next body takes."""
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value
