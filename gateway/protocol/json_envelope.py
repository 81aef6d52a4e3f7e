"""The JSON around the tensors of a request: a body read once, and what is wrong with it.

Most bodies are read in one pass with their tensors' data, in the type that each names. The others
are read again with the data left as bytes, so that a fault names its input, not just the body.
"""

import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from gateway.protocol.json_numbers import read_members
from gateway.protocol.json_typed import TYPED_INPUT, TypedInput
from gateway.protocol.refusal import Refusal, refuse

MAX_ID_LENGTH = 256
_LONG_BYTES = 1 << 11  # a body of so many bytes is read as one with many numbers


class LooseInput(Struct, gc=False):
    """One input as it was sent, its members whatever they are; only `data` is known to be JSON."""

    name: Any = UNSET
    shape: Any = UNSET
    datatype: Any = UNSET
    data: Raw = Raw()
    parameters: Any = UNSET


class LooseEnvelope(Struct):
    """A request as it was sent. A null member counts as absent; unknown members are ignored."""

    inputs: list[LooseInput]
    id: Any = None
    parameters: Any = None
    outputs: Any = None


Input = TypeVar("Input")


class TypedEnvelope(Struct, Generic[Input]):
    """A request whose `id` and inputs are as they should be."""

    inputs: list[Input]
    id: Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None = None
    parameters: Any = None
    outputs: Any = None


_decode_typed = msgspec.json.Decoder(TypedEnvelope[TYPED_INPUT]).decode
_decode_loose = msgspec.json.Decoder(LooseEnvelope).decode
# A text with the colon that makes it a key, or a brace outside of texts, after whatever else. The
# quantifiers are possessive: nothing is ever tried twice, whatever the body.
_TOKEN = re.compile(rb'[^"{}]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+(:?)|([{}]))', re.DOTALL)


def read_typed(head: bytes) -> TypedEnvelope[TypedInput] | None:
    """Read the JSON of a plain request; None where it has to be looked at more closely."""
    envelope = None if len(head) < _LONG_BYTES else _read_numbers(head)
    if envelope is None:
        try:
            if not head.isascii():
                head.decode()
            envelope = _decode_typed(head)
        except (ValueError, RecursionError):  # ValueError includes msgspec's errors
            return None
    # Every key has its colon: as many colons as members were read leaves none for a duplicate.
    if not _has_colons(head, _members(envelope)) and has_duplicate_key(head):
        return None
    return envelope


def _read_numbers(head: bytes) -> TypedEnvelope[TypedInput] | None:
    members = read_members(head)
    return TypedEnvelope(**members) if members and _is_id(members.get("id")) else None


def read_loose(head: bytes) -> LooseEnvelope | Refusal:
    """Read any JSON of a request; on return `id` is right, the other members may not be."""
    if not head or head.isspace():
        return refuse("empty-body")
    try:
        if not head.isascii():
            head.decode()
        envelope = _decode_loose(head)
    except RecursionError:
        return refuse("too-deep")
    except msgspec.ValidationError:
        return refuse("bad-request")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return refuse("malformed-json")
    if not _is_id(envelope.id):
        return refuse("bad-id")
    return envelope


def has_duplicate_key(head: bytes) -> bool:
    """Whether an object of well-formed JSON has a key twice, however it is escaped.

    Two readers of such a body may see two different requests, so no record could say what was
    asked.
    """
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(head):
        text, colon, brace = token.groups()
        if brace == b"{":
            objects.append(set())
        elif brace:
            objects.pop()
        elif colon:
            key = msgspec.json.decode(text, type=str)
            if key in objects[-1]:
                return True
            objects[-1].add(key)
    return False


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= MAX_ID_LENGTH)


def _has_colons(head: bytes, count: int) -> bool:
    """Whether there are exactly so many colons; counting them is slow in a long body."""
    if len(head) < _LONG_BYTES:
        return head.count(b":") == count
    at = -1
    for _ in range(count):
        at = head.find(b":", at + 1)
        if at < 0:
            return False
    return head.find(b":", at + 1) < 0


def _members(envelope: TypedEnvelope[TypedInput]) -> int:
    """Count the members that were read, at most as many as there are."""
    members = 1 if envelope.id is None else 2
    if envelope.parameters is not None:
        members += _members_of(envelope.parameters)
    for sent in envelope.inputs:
        members += 3 if sent.data is UNSET else 4
        if sent.parameters is not None:
            members += _members_of(sent.parameters)
    if envelope.outputs is not None:
        members += _members_of_all(envelope.outputs)
    return members


def _members_of(value: Any) -> int:
    return 1 + len(value) if type(value) is dict else 0


def _members_of_all(outputs: Any) -> int:
    members = 1
    for output in outputs if type(outputs) is list else ():
        if type(output) is dict:
            members += len(output)
            members += sum(len(value) for value in output.values() if type(value) is dict)
    return members
