"""The inputs of one request, looked at one by one, with all that is wrong told together."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from gateway.protocol.binary_form import read_bytes
from gateway.protocol.declarations import accept_datatype, accept_shape
from gateway.protocol.json_envelope import LooseInput
from gateway.protocol.json_values import read_values
from gateway.protocol.refusal import Refusal, Tally, refuse
from registry.manifest import Signature, TensorSpec
from registry.tensors import Tensor


def read_inputs(
    inputs: Sequence[LooseInput], signature: Signature, binary: memoryview | None
) -> dict[str, Tensor] | Refusal:
    """Return all inputs of a signature in its order; `binary` is what follows the JSON, if any.

    Faults of the body's division are told alone, else those of every input together.
    """
    tally = Tally()
    parts = _divide(inputs, binary, tally)
    if isinstance(parts, Refusal):
        return parts
    given = _by_name(inputs, parts, tally)
    tensors: dict[str, Tensor] = {}
    for spec in signature.inputs:
        sent = given.pop(spec.name, None)
        if sent is None:
            tally.add(spec.name, "missing-input", f"datatype {spec.datatype}")
            continue
        tensor = _read_input(*sent, spec, tally)
        if tensor is not None:
            tensors[spec.name] = tensor
    for name in given:
        tally.add(name, "unexpected-input", "inputs of the model alone")
    _compare_shared(tensors, signature, tally)
    return tally.refusal() if tally.total else tensors


def binary_size(parameters: Any) -> Any:
    """Return the size that the parameters of an input declare, UNSET where they declare none."""
    return parameters.get("binary_data_size", UNSET) if type(parameters) is dict else UNSET


def _divide(
    inputs: Sequence[LooseInput], binary: memoryview | None, tally: Tally
) -> list[memoryview | None] | Refusal:
    """Return the bytes of each input, None for one that is not binary."""
    sizes = [binary_size(sent.parameters) for sent in inputs]
    is_binary = [size is not UNSET for size in sizes]
    if binary is None:
        return refuse("bad-binary-header") if any(is_binary) else [None] * len(inputs)
    parts: list[memoryview | None] = []
    at = 0
    for place, size in enumerate(sizes):
        if size is UNSET:
            parts.append(None)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            expected = f"at most {len(binary) - at} bytes, which the body has left"
            tally.add(_label(inputs, place), "bad-binary-size", expected)
            return tally.refusal()
        parts.append(binary[at : at + size])
        at += size
    if at == len(binary):
        return parts
    if not any(is_binary):
        return refuse("bad-binary-size")
    last = max(place for place, binary_too in enumerate(is_binary) if binary_too)
    expected = f"sizes of {len(binary)} bytes together, as many as follow the JSON"
    tally.add(_label(inputs, last), "bad-binary-size", expected)
    return tally.refusal()


def _label(inputs: Sequence[LooseInput], place: int) -> str:
    name = inputs[place].name
    return name if isinstance(name, str) else f"inputs[{place}]"


def _by_name(
    inputs: Sequence[LooseInput], parts: Sequence[memoryview | None], tally: Tally
) -> dict[str, tuple[LooseInput, memoryview | None]]:
    given: dict[str, tuple[LooseInput, memoryview | None]] = {}
    for place, sent in enumerate(inputs):
        name = sent.name
        if not isinstance(name, str):
            tally.add(_label(inputs, place), "unnamed-input", "a name")
        elif name in given:
            tally.add(name, "duplicate-input", "each input once")
        else:
            given[name] = sent, parts[place]
    return given


def _read_input(
    sent: LooseInput, binary: memoryview | None, spec: TensorSpec, tally: Tally
) -> Tensor | None:
    # Both are looked at, so that both are told.
    accepted = accept_datatype(sent.datatype, spec, tally)
    shape = accept_shape(sent.shape, spec, tally)
    has_data = bool(memoryview(sent.data))
    if binary is None and not has_data:
        tally.add(spec.name, "missing-data", "a list of values")
        return None
    if binary is not None and has_data:
        tally.add(spec.name, "bad-binary-size", "either `data` or `binary_data_size`")
        return None
    if shape is None or not accepted:
        return None
    if binary is not None:
        return read_bytes(binary, spec, shape, tally)
    return read_values(sent.data, spec, shape, tally)


def _compare_shared(tensors: dict[str, Tensor], signature: Signature, tally: Tally) -> None:
    """Count inputs that differ from the first one in a dimension that the signature says agrees."""
    for places in signature.shared.values():
        known = [place for place in places if place[0] in tensors]
        for name, position in known[1:]:
            first, at = known[0]
            size = tensors[first].shape[at]
            if tensors[name].shape[position] != size:
                expected = f"{size} in dimension {position}, as dimension {at} of {first!r} has"
                tally.add(name, "shape-not-accepted", expected)
