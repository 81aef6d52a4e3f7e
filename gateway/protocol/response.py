"""The outputs of a model as a body: JSON, or JSON and the bytes of binary outputs behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.protocol.classification import best_classes
from gateway.protocol.messages import Encoded, Parameter, RequestedOutput
from registry.datatypes import Datatype
from registry.tensors import Tensor, datatype_of, element_bytes


class JsonTensor(Struct, gc=False):
    """A tensor in the protocol's JSON form, data flat and row-major."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]


class _BinaryTensor(Struct, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, int]


class _Response(Struct, gc=False):
    model_name: str
    model_version: str | UnsetType
    id: str | UnsetType
    parameters: Mapping[str, Parameter] | UnsetType
    outputs: list[JsonTensor | _BinaryTensor]


_encode = msgspec.json.Encoder().encode


def encode_response(
    *,
    model: str,
    version: str | None,
    id: str | None,
    parameters: Mapping[str, Parameter] | None,
    outputs: Mapping[str, Tensor],
    requested: Sequence[RequestedOutput],
) -> Encoded:
    """Write the outputs asked for, each in its form, data flat and row-major.

    What is None is left out. JSON has neither NaN nor infinities: they become null. Elements of
    BYTES become strings, with U+FFFD for bytes that are not UTF-8. Integers of 64 bits are written
    in full.
    """
    tensors: list[JsonTensor | _BinaryTensor] = []
    parts: list[bytes] = []
    for output in requested:
        tensor = outputs[output.name]
        if output.classes:
            tensor = best_classes(tensor, output.classes, output.labels)
        if output.is_binary:
            parts.append(element_bytes(tensor))
            size = {"binary_data_size": len(parts[-1])}
            tensors.append(_BinaryTensor(output.name, tensor.shape, datatype_of(tensor), size))
        else:
            tensors.append(json_tensor(output.name, tensor))
    head = _encode(
        _Response(
            model,
            UNSET if version is None else version,
            UNSET if id is None else id,
            UNSET if parameters is None else parameters,
            tensors,
        )
    )
    return Encoded(head + b"".join(parts), len(head)) if parts else Encoded(head)


def json_tensor(name: str, tensor: Tensor) -> JsonTensor:
    """Write a tensor in the protocol's JSON form, under the limits that `encode_response` names."""
    datatype = datatype_of(tensor)
    data = (tensor if tensor.ndim == 1 else tensor.ravel()).tolist()
    if datatype is Datatype.BYTES:
        data = [_text(element) for element in data]
    return JsonTensor(name, tensor.shape, datatype, data)


def _text(element: str | bytes) -> str:
    if isinstance(element, bytes):
        return element.decode(errors="replace")
    # A surrogate that stands alone is text to Python and to nobody else.
    return element if element.isascii() else element.encode(errors="replace").decode()
