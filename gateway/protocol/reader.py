"""Bodies to requests: a reader is made once for a signature and reads what is sent to it.

A plain request is read in one pass. Whatever is not plain is read again, input by input, by
`inputs`, which accepts a little more and says what is wrong with the rest.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from msgspec import UNSET

from gateway.protocol.binary_form import read_bytes, read_numbers
from gateway.protocol.declarations import Shape, has_shape
from gateway.protocol.inputs import binary_size, read_inputs
from gateway.protocol.json_envelope import has_duplicate_key, read_loose, read_typed
from gateway.protocol.json_typed import Maker, TypedInput, tensor_makers
from gateway.protocol.messages import InferRequest, RequestedOutput
from gateway.protocol.parameters import NO_WISHES, OutputChoice, Wishes, read_wishes
from gateway.protocol.refusal import Refusal, Tally, refuse
from registry.datatypes import Datatype
from registry.manifest import Signature
from registry.tensors import NUMPY_TYPES, Tensor

_NO_LENGTH = -1
_NO_MAKERS: Mapping[type[TypedInput], Maker] = {}


def parse_header_length(value: str | None) -> int | None:
    """Read the header Inference-Header-Content-Length; what is no length is one no body has."""
    if value is None:
        return None
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else _NO_LENGTH


class RequestReader:
    """Reads the requests to one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._outputs = OutputChoice(signature)
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._makers = {spec.name: tensor_makers(spec) for spec in signature.inputs}
        self._first = next((spec.name for spec in signature.inputs), None)
        self._has_no_order = len(signature.inputs) == 1 and not signature.shared

    def decode(self, body: bytes, header_length: int | None = None) -> InferRequest | Refusal:
        """Read a body as a request that meets the signature, or say all that is wrong with it.

        `header_length` is how much of it is JSON: all where it is None, nothing where it is 0.
        Faults of the body as a whole are told alone; else those of every input are told together.
        """
        if header_length == 0:
            return self._read_raw(body)
        head, binary = body, None
        if header_length is not None:
            if not 0 < header_length <= len(body):
                return refuse("bad-binary-header")
            head, binary = body[:header_length], memoryview(body)[header_length:]
        plain = self._read_plain(head, binary)
        return self._read_closely(head, binary) if plain is None else plain

    def _read_plain(self, head: bytes, binary: memoryview | None) -> InferRequest | None:
        """Read a request that has no fault and nothing unusual; None for any other."""
        envelope = read_typed(head)
        if envelope is None:
            return None
        wishes = NO_WISHES if envelope.parameters is None else read_wishes(envelope.parameters)
        if isinstance(wishes, Refusal):
            return None
        outputs = self._outputs.read(envelope.outputs, is_binary=wishes.is_binary)
        if isinstance(outputs, Refusal):
            return None
        tensors = self._take_all(envelope.inputs, head, binary)
        if tensors is None:
            return None
        return self._request(envelope.id, wishes, outputs, tensors)

    def _read_closely(self, head: bytes, binary: memoryview | None) -> InferRequest | Refusal:
        envelope = read_loose(head)
        if isinstance(envelope, Refusal):
            return envelope
        wishes = read_wishes(envelope.parameters)
        if isinstance(wishes, Refusal):
            return wishes
        if has_duplicate_key(head):
            return refuse("duplicate-key")
        outputs = self._outputs.read(envelope.outputs, is_binary=wishes.is_binary)
        if isinstance(outputs, Refusal):
            return outputs
        tensors = read_inputs(envelope.inputs, self._signature, binary)
        if isinstance(tensors, Refusal):
            return tensors
        return self._request(envelope.id, wishes, outputs, tensors)

    def _request(
        self,
        id: str | None,
        wishes: Wishes,
        outputs: tuple[RequestedOutput, ...],
        tensors: dict[str, Tensor],
    ) -> InferRequest:
        return InferRequest(
            id=id,
            parameters=wishes.parameters,
            tensors=tensors,
            outputs=outputs,
            rows=1 if self._first is None else _rows(tensors[self._first]),
            priority=wishes.priority,
            timeout_us=wishes.timeout_us,
            subject=wishes.subject,
        )

    def _take_all(
        self, inputs: Sequence[TypedInput], head: bytes, binary: memoryview | None
    ) -> dict[str, Tensor] | None:
        """Return the tensors of inputs sent as they should be; None where one is not."""
        if len(inputs) != len(self._specs):
            return None
        tensors: dict[str, Tensor] = {}
        at = 0
        for sent in inputs:
            size = UNSET if sent.parameters is None else binary_size(sent.parameters)
            if size is UNSET:
                make = self._makers.get(sent.name, _NO_MAKERS).get(type(sent))
                tensor = None if make is None else make(sent, head)
            else:
                tensor = self._take_part(sent, binary, at, size)
                at += size if tensor is not None else 0
            if tensor is None:
                return None
            tensors[sent.name] = tensor
        if binary is not None and at != len(binary):
            return None
        return self._ordered(tensors)

    def _take_part(
        self, sent: TypedInput, binary: memoryview | None, at: int, size: Any
    ) -> Tensor | None:
        """Return the tensor of a binary input sent as it should be; None if it is not."""
        spec = self._specs.get(sent.name)
        if spec is None or binary is None or type(size) is not int or size < 0:
            return None
        is_fit = type(sent) in self._makers[sent.name] and sent.data is UNSET
        if not is_fit or not has_shape(spec, sent.shape):
            return None
        part = binary[at : at + size]
        if spec.datatype is Datatype.BYTES:
            return read_bytes(part, spec, sent.shape, Tally())
        return read_numbers(part, spec.datatype, sent.shape)

    def _ordered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Bring tensors into the signature's order; None if one lacks or shared sizes differ."""
        if self._has_no_order:
            return tensors
        if len(tensors) != len(self._specs):
            return None
        for places in self._signature.shared.values():
            if len({tensors[name].shape[position] for name, position in places}) > 1:
                return None
        return {name: tensors[name] for name in self._specs}

    def _read_raw(self, body: bytes) -> InferRequest | Refusal:
        """Read the bytes of the only input, one row of it where rows are free."""
        shape = _raw_shape(self._signature, len(body))
        if shape is None:
            return refuse("not-raw")
        [spec] = self._signature.inputs
        tally = Tally()
        if spec.datatype is Datatype.BYTES:
            head = len(body).to_bytes(4, "little")
            tensor = read_bytes(memoryview(head + body), spec, shape, tally)
        else:
            tensor = read_bytes(memoryview(body), spec, shape, tally)
        if tensor is None:
            return tally.refusal()
        outputs = self._outputs.all(is_binary=True)
        return self._request(None, NO_WISHES, outputs, {spec.name: tensor})


def _rows(first: Tensor) -> int:
    return first.shape[0] if first.ndim else 1


def _raw_shape(signature: Signature, size: int) -> Shape | None:
    """Return the shape of the only input as a body of `size` bytes has it; None if it is open."""
    if len(signature.inputs) != 1:
        return None
    [spec] = signature.inputs
    shape = list(spec.shape)
    if len(shape) > 1 and shape[0] < 0:
        shape[0] = 1
    if shape.count(-1) > 1:
        return None
    if spec.datatype is Datatype.BYTES:
        shape = [abs(dimension) for dimension in shape]
        return tuple(shape) if prod(shape) == 1 else None
    if -1 in shape:
        known = -prod(shape) * NUMPY_TYPES[spec.datatype].itemsize
        shape[shape.index(-1)] = size // known if known else 0
    return tuple(shape)
