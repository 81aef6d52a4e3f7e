"""Bodies to requests: a reader is made once for a signature and reads what is sent to it.

A plain request is read in one pass. Whatever is not plain is read again, input by input, by
`inputs`, which accepts a little more and says what is wrong with the rest.
"""

from collections.abc import Callable, Sequence
from math import prod

from msgspec import UNSET, Struct

from gateway.protocol.binary_form import read_bytes, read_numbers
from gateway.protocol.declarations import Shape, shape_test
from gateway.protocol.inputs import binary_size, read_inputs
from gateway.protocol.json_envelope import has_duplicate_key, read_loose, read_typed
from gateway.protocol.json_values import (
    INPUT_TYPES,
    REFUSED,
    TypedInput,
    fill_missing,
    to_array,
)
from gateway.protocol.messages import InferRequest
from gateway.protocol.parameters import OutputChoice, read_wishes
from gateway.protocol.refusal import Refusal, Tally, refuse
from registry.records import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Datatype, Tensor

_NO_LENGTH = -1


def parse_header_length(value: str | None) -> int | None:
    """Read the header Inference-Header-Content-Length; what is no length is one no body has."""
    if value is None:
        return None
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else _NO_LENGTH


class _Plan(Struct, frozen=True):
    """How one input is read where it is sent as it should be."""

    spec: TensorSpec
    kind: type[TypedInput]
    fits: Callable[[Shape], bool]


class RequestReader:
    """Reads the requests to one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._outputs = OutputChoice(signature)
        self._plans = {
            spec.name: _Plan(spec, INPUT_TYPES[spec.datatype], shape_test(spec))
            for spec in signature.inputs
        }
        self._has_no_order = len(signature.inputs) == 1 and not signature.shared

    def decode(self, body: bytes, header_length: int | None = None) -> InferRequest | Refusal:
        """Read a body as a request that meets the signature, or say all that is wrong with it.

        `header_length` is how much of it is JSON: all where it is None, nothing where it is 0.
        Faults of the body as a whole are told alone; else those of every input are told together.
        """
        if header_length is None:
            return self._read(body, None)
        if header_length == 0:
            return self._read_raw(body)
        if not 0 < header_length <= len(body):
            return refuse("bad-binary-header")
        return self._read(body[:header_length], memoryview(body)[header_length:])

    def _read(self, head: bytes, binary: memoryview | None) -> InferRequest | Refusal:
        typed = read_typed(head)
        envelope = read_loose(head) if typed is None else typed
        if isinstance(envelope, Refusal):
            return envelope
        wishes = read_wishes(envelope.parameters)
        if isinstance(wishes, Refusal):
            return wishes
        if typed is None and has_duplicate_key(head):
            return refuse("duplicate-key")
        outputs = self._outputs.read(envelope.outputs, is_binary=wishes.is_binary)
        if isinstance(outputs, Refusal):
            return outputs
        taken = None if typed is None else self._take_all(typed.inputs, head, binary)
        tensors = self._look_closely(head, binary) if taken is None else taken
        if isinstance(tensors, Refusal):
            return tensors
        return InferRequest(
            id=envelope.id,
            parameters=wishes.parameters,
            tensors=tensors,
            outputs=outputs,
            rows=_rows(tensors),
            priority=wishes.priority,
            timeout_us=wishes.timeout_us,
        )

    def _take_all(
        self, inputs: Sequence[TypedInput], head: bytes, binary: memoryview | None
    ) -> dict[str, Tensor] | None:
        """Return the tensors of inputs sent as they should be; None where one is not."""
        if len(inputs) != len(self._plans):
            return None
        tensors: dict[str, Tensor] = {}
        at = 0
        for sent in inputs:
            plan = self._plans.get(sent.name)
            if plan is None or type(sent) is not plan.kind or not plan.fits(sent.shape):
                return None
            size = UNSET if sent.parameters is None else binary_size(sent.parameters)
            if size is UNSET:
                tensor = _from_values(sent, plan.spec, head)
            elif binary is None or type(size) is not int or size < 0 or sent.data is not UNSET:
                return None
            else:
                tensor = _from_bytes(binary[at : at + size], plan.spec, sent.shape)
                at += size
            if tensor is None:
                return None
            tensors[sent.name] = tensor
        is_divided = binary is None or at == len(binary)
        return self._ordered(tensors) if is_divided else None

    def _ordered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Bring tensors into the signature's order; None if one lacks or shared sizes differ."""
        if self._has_no_order:
            return tensors
        if len(tensors) != len(self._plans):
            return None
        for places in self._signature.shared.values():
            if len({tensors[name].shape[position] for name, position in places}) > 1:
                return None
        return {name: tensors[name] for name in self._plans}

    def _look_closely(self, head: bytes, binary: memoryview | None) -> dict[str, Tensor] | Refusal:
        envelope = read_loose(head)
        if isinstance(envelope, Refusal):
            return envelope
        return read_inputs(envelope.inputs, self._signature, binary)

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
        return InferRequest(
            id=None,
            parameters={},
            tensors={spec.name: tensor},
            outputs=self._outputs.all(is_binary=True),
            rows=shape[0] if shape else 1,
        )


def _from_values(sent: TypedInput, spec: TensorSpec, head: bytes) -> Tensor | None:
    if sent.data is UNSET:
        return None
    try:
        array = to_array(sent.data, spec.datatype)
        if array.shape != sent.shape:
            if array.ndim > 1:
                return None
            array = array.reshape(sent.shape)
    except REFUSED:
        return None
    if spec.datatype is Datatype.BYTES and b"null" in head:
        fill_missing(array)
    return array


def _from_bytes(data: memoryview, spec: TensorSpec, shape: Shape) -> Tensor | None:
    if spec.datatype is Datatype.BYTES:
        return read_bytes(data, spec, shape, Tally())
    return read_numbers(data, spec.datatype, shape)


def _rows(tensors: dict[str, Tensor]) -> int:
    for first in tensors.values():
        return first.shape[0] if first.ndim else 1
    return 1


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
