"""The JSON around the tensors of a request: a body read once, and what is wrong with it.

Most bodies are read in one pass with their tensors' data, in the type that each names. The others
are read again with the data left as bytes, so that a fault names its input, not just the body.
"""

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.protocol.json_values import TYPED_INPUTS, TypedInput
from gateway.protocol.refusal import Refusal, refuse

MAX_ID_LENGTH = 256


class LooseInput(Struct, gc=False):
    """One input as it was sent, its members whatever they are; only `data` is known to be JSON."""

    name: Any = UNSET
    shape: Any = UNSET
    datatype: Any = UNSET
    data: Raw = Raw()
    parameters: Any = UNSET


Input = TypeVar("Input")


class Envelope(Struct, Generic[Input]):
    """A request as it was sent. A null member counts as absent; unknown members are ignored."""

    inputs: list[Input]
    id: Any = None
    parameters: Any = None
    outputs: Any = None


_decode_typed = msgspec.json.Decoder(Envelope[TYPED_INPUTS]).decode
_decode_loose = msgspec.json.Decoder(Envelope[LooseInput]).decode
# A text with the colon that makes it a key, or a brace outside of texts, after whatever else. The
# quantifiers are possessive: nothing is ever tried twice, whatever the body.
_TOKEN = re.compile(rb'[^"{}]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+(:?)|([{}]))', re.DOTALL)


def read_typed(head: bytes) -> Envelope[TypedInput] | None:
    """Read the JSON of a plain request; None where it has to be looked at more closely."""
    try:
        if not head.isascii():
            head.decode()
        envelope: Envelope[TypedInput] = _decode_typed(head)
    except (ValueError, RecursionError):  # ValueError includes msgspec's errors
        return None
    return envelope if _has_no_fault(envelope, head) else None


def read_loose(head: bytes) -> Envelope[LooseInput] | Refusal:
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


def _has_no_fault(envelope: Envelope[TypedInput], head: bytes) -> bool:
    if not _is_id(envelope.id):
        return False
    # Every key has its colon: as many colons as members were read leaves none for a duplicate.
    return head.count(b":") == _members(envelope) or not has_duplicate_key(head)


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= MAX_ID_LENGTH)


def _members(envelope: Envelope[TypedInput]) -> int:
    """Count the members that were read, at most as many as there are."""
    members = 1 + _members_of(envelope.parameters) + (envelope.id is not None)
    for sent in envelope.inputs:
        members += 3 + (sent.data is not UNSET) + _members_of(sent.parameters)
    if type(envelope.outputs) is list:
        members += 1 + _members_of_all(envelope.outputs)
    return members


def _members_of(value: Any) -> int:
    return 1 + len(value) if type(value) is dict else 0


def _members_of_all(outputs: Sequence[Any]) -> int:
    members = 0
    for output in outputs:
        if type(output) is dict:
            members += len(output)
            members += sum(len(value) for value in output.values() if type(value) is dict)
    return members
