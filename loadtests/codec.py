"""What reading and writing one body costs: `python -m loadtests.codec`, microseconds of processor.

Each row is the least of many repeats on one thread's clock, so that a busy machine disturbs it
little. `bare` is what no reader can do without: msgspec into a typed struct, and one array.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from gateway.protocol.messages import RequestedOutput
from gateway.protocol.reader import RequestReader
from gateway.protocol.response import encode_response
from loadtests.timing import least_us
from registry.datatypes import Datatype
from registry.manifest import Signature, TensorSpec
from registry.tensors import Tensor, encode_tensors

COLUMNS = 30
ROWS = (1, 64, 1024)


class _BareInput(Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[float | list[float]]


class _BareRequest(Struct):
    inputs: list[_BareInput]
    id: str | None = None


def main() -> None:
    """Print the costs."""
    print(f"{'us per body':36}" + "".join(f"{f'{rows}x{COLUMNS}':>10}" for rows in ROWS))
    for name, make in CASES.items():
        costs = "".join(f"{least_us(make(rows)):10.2f}" for rows in ROWS)
        print(f"{name:36}{costs}", flush=True)


def _signature() -> Signature:
    return Signature(
        inputs=(TensorSpec(name="X", datatype=Datatype.FP32, shape=(-1, COLUMNS)),),
        outputs=(
            TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),
            TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 2)),
        ),
    )


def _values(rows: int) -> list[float]:
    random_source = random.Random(rows)
    return [round(random_source.uniform(0, 1000), 3) for _ in range(rows * COLUMNS)]


def _json_body(rows: int) -> bytes:
    sent = {"name": "X", "shape": [rows, COLUMNS], "datatype": "FP32", "data": _values(rows)}
    return json.dumps({"id": "request-17", "inputs": [sent]}, separators=(",", ":")).encode()


def _bare(rows: int) -> Callable[[], object]:
    body = _json_body(rows)
    decode = msgspec.json.Decoder(_BareRequest).decode
    numpy_type = np.dtype(np.float32)

    def read() -> Tensor:
        sent = decode(body).inputs[0]
        return np.array(sent.data, numpy_type).reshape(sent.shape)

    return read


def _json_in(rows: int) -> Callable[[], object]:
    body, reader = _json_body(rows), RequestReader(_signature())
    return lambda: reader.decode(body)


def _binary_in(rows: int, misalignment: int) -> Callable[[], object]:
    data = np.array(_values(rows), np.float32).tobytes()
    sent: dict[str, Any] = {"name": "X", "shape": [rows, COLUMNS], "datatype": "FP32"}
    sent["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps({"id": "request-17", "inputs": [sent]}).encode()
    head += b" " * (-len(head) % 4 + misalignment)
    reader = RequestReader(_signature())
    body, header_length = head + data, len(head)
    return lambda: reader.decode(body, header_length)


def _binary_in_aligned(rows: int) -> Callable[[], object]:
    return _binary_in(rows, 0)


def _binary_in_misaligned(rows: int) -> Callable[[], object]:
    return _binary_in(rows, 1)


def _answer(rows: int) -> dict[str, Tensor]:
    source = np.random.default_rng(rows)
    probabilities = source.random((rows, 2)).astype(np.float32)
    return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}


def _out(rows: int, *, is_binary: bool) -> Callable[[], object]:
    outputs = _answer(rows)
    requested = tuple(RequestedOutput(name, is_binary) for name in outputs)
    parameters = {"record_id": "0192f3a1-7c4e-7000-8000-000000000000", "lane": "champion"}
    return lambda: encode_response(
        model="cancer",
        version="3",
        id="request-17",
        parameters=parameters,
        outputs=outputs,
        requested=requested,
    )


def _json_out(rows: int) -> Callable[[], object]:
    return _out(rows, is_binary=False)


def _binary_out(rows: int) -> Callable[[], object]:
    return _out(rows, is_binary=True)


def _canonical(rows: int) -> Callable[[], object]:
    tensors = {"X": np.array(_values(rows), np.float32).reshape(rows, COLUMNS)}
    return lambda: encode_tensors(tensors)


CASES: dict[str, Callable[[int], Callable[[], object]]] = {
    "JSON in, bare": _bare,
    "JSON in": _json_in,
    "binary in, aligned": _binary_in_aligned,
    "binary in, misaligned": _binary_in_misaligned,
    "classifier's answer, JSON": _json_out,
    "classifier's answer, binary": _binary_out,
    "canonical form": _canonical,
}

if __name__ == "__main__":
    main()
