"""The protocol's JSON form: a body to a request, and the outputs of a model to a body."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.protocol.declarations import accept_datatype, accept_shape
from gateway.protocol.json_envelope import (
    InputEnvelope,
    read_envelope,
    read_outputs,
    read_parameters,
)
from gateway.protocol.json_values import read_values
from gateway.protocol.messages import InferRequest, Parameter
from gateway.protocol.refusal import Refusal, Tally
from registry.records import Signature, TensorSpec
from registry.tensors import Datatype, Tensor, datatype_of


class JsonTensor(Struct, gc=False):
    """A tensor in the protocol's JSON form, data flat and row-major."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]


class _Response(Struct, omit_defaults=True):
    model_name: str
    outputs: list[JsonTensor]
    model_version: str | None = None
    id: str | None = None
    parameters: Mapping[str, Parameter] | None = None


_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, signature: Signature) -> InferRequest | Refusal:
    """Read a JSON body as a request that meets the signature, or say all that is wrong with it.

    Faults of the body as a whole are told alone; else those of every input are told together.
    """
    envelope = read_envelope(body)
    if isinstance(envelope, Refusal):
        return envelope
    outputs = read_outputs(envelope.outputs, signature)
    if isinstance(outputs, Refusal):
        return outputs
    tally = Tally()
    tensors = _read_inputs(envelope.inputs, signature, tally)
    if tally.total:
        return tally.refusal()
    first = tensors[signature.inputs[0].name]
    return InferRequest(
        id=envelope.id,
        parameters=read_parameters(envelope),
        tensors=tensors,
        outputs=outputs,
        rows=first.shape[0] if first.ndim else 1,
    )


def encode_response(
    *,
    model: str,
    version: str | None,
    id: str | None,
    parameters: Mapping[str, Parameter] | None,
    outputs: Mapping[str, Tensor],
) -> bytes:
    """Write the outputs of a model as a JSON body, data flat and row-major.

    What is None is left out. JSON has neither NaN nor infinities: they become null. Elements of
    BYTES become strings, with U+FFFD for bytes that are not UTF-8: such outputs need the binary
    form. Integers of 64 bits are written in full.
    """
    return _encode(_Response(model, json_tensors(outputs), version, id, parameters))


def json_tensors(tensors: Mapping[str, Tensor]) -> list[JsonTensor]:
    """Write tensors in the protocol's JSON form, under the limits that `encode_response` names."""
    return [_output(name, tensor) for name, tensor in tensors.items()]


def _read_inputs(
    inputs: list[InputEnvelope], signature: Signature, tally: Tally
) -> dict[str, Tensor]:
    given = _by_name(inputs, tally)
    tensors: dict[str, Tensor] = {}
    for spec in signature.inputs:
        member = given.pop(spec.name, None)
        if member is None:
            tally.add(spec.name, "missing-input", f"datatype {spec.datatype}")
            continue
        tensor = _read_tensor(member, spec, tally)
        if tensor is not None:
            tensors[spec.name] = tensor
    for name in given:
        tally.add(name, "unexpected-input", "inputs of the model alone")
    if len(tensors) > 1:
        _compare_rows(tensors, signature, tally)
    return tensors


def _by_name(inputs: list[InputEnvelope], tally: Tally) -> dict[str, InputEnvelope]:
    given: dict[str, InputEnvelope] = {}
    for position, member in enumerate(inputs):
        name = member.name
        if not isinstance(name, str):
            tally.add(f"inputs[{position}]", "unnamed-input", "a name")
        elif name in given:
            tally.add(name, "duplicate-input", "each input once")
        else:
            given[name] = member
    return given


def _read_tensor(member: InputEnvelope, spec: TensorSpec, tally: Tally) -> Tensor | None:
    # Both are looked at, so that both are told.
    accepted = accept_datatype(member.datatype, spec, tally)
    shape = accept_shape(member.shape, spec, tally)
    if not memoryview(member.data):
        tally.add(spec.name, "missing-data", "a list of values")
        return None
    if shape is None or not accepted:
        return None
    return read_values(member.data, spec, shape, tally)


def _compare_rows(tensors: dict[str, Tensor], signature: Signature, tally: Tally) -> None:
    """Count inputs whose number of rows is not the first one's, where all have variable rows."""
    if any(spec.shape[:1] != (-1,) for spec in signature.inputs):
        return
    (first, tensor), *others = tensors.items()
    rows = len(tensor)
    for name, other in others:
        if len(other) != rows:
            tally.add(name, "shape-not-accepted", f"{rows} rows, as many as input {first!r} has")


def _output(name: str, tensor: Tensor) -> JsonTensor:
    datatype = datatype_of(tensor)
    data = tensor.ravel().tolist()
    if datatype is Datatype.BYTES:
        data = [_text(element) for element in data]
    return JsonTensor(name, tensor.shape, datatype, data)


def _text(element: str | bytes) -> str:
    if isinstance(element, bytes):
        return element.decode(errors="replace")
    # A surrogate that stands alone is text to Python and to nobody else.
    return element if element.isascii() else element.encode(errors="replace").decode()
