"""Requests in the JSON form, written, read and told apart; and arrays of any datatype and shape."""

import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gateway.protocol.messages import InferRequest, RequestedOutput
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import SENTENCES, Refusal
from gateway.protocol.response import encode_response
from registry.datatypes import FLOATS, Datatype
from registry.manifest import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

SHAPES = st.lists(st.integers(0, 3), min_size=0, max_size=4)


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)


def signature(*inputs: TensorSpec, outputs: tuple[str, ...] = ("y", "z")) -> Signature:
    return Signature(inputs=inputs, outputs=tuple(spec(name, "FP32", -1, 2) for name in outputs))


def one(datatype: str, *shape: int) -> Signature:
    return signature(spec("x", datatype, *shape))


def member(name: str, datatype: str, shape: Any, data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**more, "inputs": inputs}).encode()


def raw(data: str, datatype: str = "FP32", shape: str = "[1]") -> bytes:
    """A body whose shape and data are written as they are, well-formed or not."""
    head = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":'
    return (head + data + "}]}").encode()


def decode_request(sent: bytes, wanted: Signature) -> InferRequest | Refusal:
    return RequestReader(wanted).decode(sent)


def encode(outputs: dict[str, Tensor], **members: Any) -> Any:
    """Write an answer as JSON and read it again."""
    absent = {"model": "m", "version": None, "id": None, "parameters": None}
    requested = [RequestedOutput(name) for name in outputs]
    encoded = encode_response(**(absent | members), outputs=outputs, requested=requested)
    assert encoded.header_length is None
    return json.loads(encoded.body)


def accepted(request: InferRequest | Refusal) -> InferRequest:
    assert isinstance(request, InferRequest), request
    return request


def refused(request: InferRequest | Refusal) -> Refusal:
    assert isinstance(request, Refusal), request
    assert request.code in SENTENCES
    assert request.detail.startswith(SENTENCES[request.code])
    return request


def elements(datatype: Datatype) -> st.SearchStrategy[Any]:
    if datatype is Datatype.BYTES:
        return st.text()
    if datatype is Datatype.BOOL:
        return st.booleans()
    if datatype in FLOATS:
        width = NUMPY_TYPES[datatype].itemsize * 8
        return st.floats(allow_nan=False, allow_infinity=False, width=width)  # type: ignore[arg-type]
    limits = np.iinfo(NUMPY_TYPES[datatype])
    return st.integers(int(limits.min), int(limits.max))
