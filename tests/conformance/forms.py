"""Requests and answers of the protocol, written and read without the gateway's own code.

Elements of BYTES are `str` on the way in and on the way out.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

Array = NDArray[Any]

HEADER_LENGTH = "inference-header-content-length"
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(bfloat16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(value: Any) -> str | None:
    """Name the datatype of an array; None for what the protocol cannot carry."""
    if not isinstance(value, np.ndarray):
        return None
    return "BYTES" if value.dtype.kind in "OUS" else _NAMES.get(value.dtype)


def fits_json(array: Array) -> bool:
    """Say whether JSON carries these values without loss: not BF16, and no infinities."""
    datatype = datatype_of(array)
    if datatype in ("FP16", "FP32", "FP64"):
        return not np.isinf(array).any()
    return datatype != "BF16"


def as_json_has_it(array: Array) -> Array:
    """Return what is left of values in JSON, which has no infinities: they are null, as NaN is."""
    if array.dtype.kind == "f":
        return np.where(np.isinf(array), np.array(np.nan, array.dtype), array)
    return array


def write_json(inputs: Mapping[str, Array]) -> tuple[bytes, dict[str, str]]:
    """Write a request whose tensors are JSON; return its body and headers."""
    members = [{**_head(name, array), "data": _values(array)} for name, array in inputs.items()]
    return json.dumps({"inputs": members}).encode(), {"content-type": "application/json"}


def write_binary(inputs: Mapping[str, Array]) -> tuple[bytes, dict[str, str]]:
    """Write a request whose tensors follow its JSON, and that asks for the answer in that form."""
    blobs = [_blob(array) for array in inputs.values()]
    members = [
        {**_head(name, array), "parameters": {"binary_data_size": len(blob)}}
        for (name, array), blob in zip(inputs.items(), blobs, strict=True)
    ]
    header = json.dumps({"inputs": members, "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
    return header + b"".join(blobs), headers


def read_answer(body: bytes, header_length: str | None) -> dict[str, Array]:
    """Read the outputs of an answer, whichever form each came in."""
    size = len(body) if header_length is None else int(header_length)
    answer, rest = json.loads(body[:size]), body[size:]
    outputs: dict[str, Array] = {}
    for member in answer["outputs"]:
        dtype = DTYPES[member["datatype"]]
        length = member.get("parameters", {}).get("binary_data_size")
        if length is None:
            flat = _from_json(member["data"], dtype)
        else:
            flat, rest = _from_blob(rest[:length], dtype), rest[length:]
        outputs[member["name"]] = flat.reshape(member["shape"])
    assert not rest, "the answer has more bytes than its outputs"
    return outputs


def _head(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": datatype_of(array)}


def _values(array: Array) -> list[Any]:
    if array.dtype.kind == "f":
        return [None if value != value else value for value in array.ravel().tolist()]
    return [
        _text(value) if array.dtype.kind in "OUS" else value for value in array.ravel().tolist()
    ]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _blob(array: Array) -> bytes:
    if array.dtype.kind not in "OUS":
        return array.tobytes()
    texts = [_text(value).encode() for value in array.ravel().tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _from_json(data: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    values = [np.nan if value is None else value for value in data]
    return np.array(values, dtype)


def _from_blob(blob: bytes, dtype: np.dtype[Any]) -> Array:
    if dtype.kind != "O":
        return np.frombuffer(blob, dtype)
    texts: list[str] = []
    while blob:
        (length,) = struct.unpack_from("<I", blob)
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return np.array(texts, object)
