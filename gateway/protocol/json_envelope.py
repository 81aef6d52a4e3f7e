"""The JSON around the tensors of a request: a body read once, its tensors' data left as bytes."""

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.protocol.messages import Parameter
from gateway.protocol.refusal import Refusal, refuse
from registry.records import Signature

MAX_ID_LENGTH = 256
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1
_SCALARS = frozenset({str, bool, int, float})

# The members are read as whatever they are, so that a fault names its input, not just the body.


class InputEnvelope(Struct, gc=False):
    """One input as it was sent; only `data` is known to be JSON."""

    name: Any = UNSET
    shape: Any = UNSET
    datatype: Any = UNSET
    data: Raw = Raw()


class Envelope(Struct):
    """A request as it was sent. A null member counts as absent; unknown members are ignored."""

    inputs: list[InputEnvelope]
    id: Any = None
    parameters: Any = None
    outputs: Any = None


_decode = msgspec.json.Decoder(Envelope).decode
# A text with the colon that makes it a key, or a brace outside of texts, after whatever else. The
# quantifiers are possessive: nothing is ever tried twice, whatever the body.
_TOKEN = re.compile(rb'[^"{}]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*+(:?)|([{}]))', re.DOTALL)


def read_envelope(body: bytes) -> Envelope | Refusal:
    """Read a body; on return `id` and `parameters` are right, inputs and outputs may not be."""
    if not body or body.isspace():
        return refuse("empty-body")
    try:
        if not body.isascii():
            body.decode()
        envelope = _decode(body)
    except RecursionError:
        return refuse("too-deep")
    except msgspec.ValidationError:
        return refuse("bad-request")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return refuse("malformed-json")
    return _member_fault(envelope, body) or envelope


def read_parameters(envelope: Envelope) -> dict[str, Parameter]:
    """Return the request's parameters, none where it has none."""
    parameters: dict[str, Parameter] = envelope.parameters or {}
    return parameters


def read_outputs(declared: Any, signature: Signature) -> tuple[str, ...] | Refusal | None:
    """Return the names of the outputs asked for; None where none are, which means all."""
    if declared is None or declared == []:
        return None
    # More entries than outputs cannot all be different, so their names need not be looked at.
    if not isinstance(declared, list) or len(declared) > len(signature.outputs):
        return refuse("bad-outputs")
    known = {spec.name for spec in signature.outputs}
    names: list[str] = []
    for output in declared:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in known:
            return refuse("bad-outputs")
        known.remove(name)
        names.append(name)
    return tuple(names)


def _member_fault(envelope: Envelope, body: bytes) -> Refusal | None:
    if envelope.id is not None and not _is_id(envelope.id):
        return refuse("bad-id")
    if envelope.parameters is not None and not _are_parameters(envelope.parameters):
        return refuse("bad-parameters")
    # Every key has its colon: as many colons as members were read leaves none for a duplicate.
    if body.count(b":") != _members(envelope) and _has_duplicate_key(body):
        return refuse("duplicate-key")
    return None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_ID_LENGTH


def _are_parameters(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    for parameter in value.values():
        kind = type(parameter)
        if kind not in _SCALARS:
            return False
        if kind is int and not _INT64_MIN <= parameter <= _UINT64_MAX:
            return False
    return True


def _members(envelope: Envelope) -> int:
    """Count the members of a plain request whose inputs are complete."""
    members = 1 + 4 * len(envelope.inputs)
    if envelope.id is not None:
        members += 1
    if envelope.parameters is not None:
        members += 1 + len(envelope.parameters)
    if isinstance(envelope.outputs, list):
        members += 1 + len(envelope.outputs)
    return members


def _has_duplicate_key(body: bytes) -> bool:
    """Whether an object of a well-formed body has a key twice, however it is escaped.

    Two readers of such a body may see two different requests, so no record could say what was
    asked.
    """
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(body):
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
