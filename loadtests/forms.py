"""The forms in which servers take rows and give probabilities: what to send, what must come back.

A request is prepared once. Only its id differs from one to the next, and every id is as long as
every other, so that no length in the request changes.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.model import INPUT, MODEL, PROBABILITIES, TOLERANCE, Rows, shortest
from loadtests.shot import ID_DIGITS, Question

_HEADER_LENGTH = "inference-header-content-length"
_V2_DATA = re.compile(r'"data":\s*(\[[^\]]*\])')
_SERVICE_DATA = re.compile(rf'"{PROBABILITIES}":\s*(\[[-+.,\[\]\s0-9eE]*\])')


class Body(Struct, frozen=True):
    """A request's body up to its id, and from there on, with the headers that it needs.

    Where the body has no place for an id, `id_header` names the header that carries it.
    """

    headers: Mapping[str, str]
    head: bytes
    tail: bytes
    id_header: str = ""


class Found(Struct, frozen=True):
    """The probabilities in an answer, and the piece of its body that holds them."""

    values: NDArray[np.float64]
    piece: bytes


class Form(Struct, frozen=True):
    """A way to ask: where, what to write for rows, and how to read the answer."""

    name: str
    path: str
    write: Callable[[Rows], Body]
    read: Callable[[Mapping[str, str], bytes], Found]

    def ask(self, rows: Rows, *, host: str, key: str) -> Question:
        """Write the request for rows."""
        body = self.write(rows)
        id_length = 0 if body.id_header else ID_DIGITS
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Bearer {key}",
            *(f"{name}: {value}" for name, value in body.headers.items()),
            f"Content-Length: {len(body.head) + id_length + len(body.tail)}",
        ]
        if body.id_header:
            start = "\r\n".join([*lines, f"{body.id_header}: "])
            return Question(start.encode(), b"\r\n\r\n" + body.head + body.tail)
        return Question("\r\n".join([*lines, "", ""]).encode() + body.head, body.tail)

    def check(self, headers: Mapping[str, str], body: bytes, wanted: NDArray[np.float64]) -> bytes:
        """Return the piece of a right answer that every right answer holds.

        Raises LoadTestError where it does not say what scikit-learn says.
        """
        found = self.read(headers, body)
        if found.values.size != wanted.size or not np.allclose(
            found.values.reshape(wanted.shape), wanted, rtol=0, atol=TOLERANCE
        ):
            raise LoadTestError(f"The first answer is not what scikit-learn says: {body[:500]!r}")
        return found.piece


def _json(values: object) -> bytes:
    return msgspec.json.encode(values)


def _tensor(rows: Rows) -> dict[str, object]:
    return {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32"}


def _write_v2(rows: Rows) -> Body:
    tensor = _json(_tensor(rows) | {"data": shortest(rows)})
    return Body({"Content-Type": "application/json"}, b'{"id":"', b'","inputs":[' + tensor + b"]}")


def _write_v2_binary(rows: Rows) -> Body:
    data = rows.tobytes()
    tensor = _json(_tensor(rows) | {"parameters": {"binary_data_size": len(data)}})
    head, tail = (
        b'{"id":"',
        b'","inputs":[' + tensor + b'],"parameters":{"binary_data_output":true}}',
    )
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head) + ID_DIGITS + len(tail)),
    }
    return Body(headers, head, tail + data)


def _write_bytes(rows: Rows) -> Body:
    headers = {"Content-Type": "application/octet-stream"}
    return Body(headers, b"", rows.tobytes(), id_header="X-Request-Id")


def _write_service(rows: Rows) -> Body:
    listed = _json([shortest(row) for row in rows])
    return Body({"Content-Type": "application/json"}, b'{"id":"', b'","rows":' + listed + b"}")


def _write_session(rows: Rows) -> Body:
    named = _json({INPUT: [shortest(row) for row in rows]})
    return Body({"Content-Type": "application/json"}, b"", named, id_header="X-Request-Id")


def _output(outputs: Sequence[dict[str, object]]) -> dict[str, object]:
    for output in outputs:
        if output["name"] == PROBABILITIES:
            return output
    raise LoadTestError(f"The answer has no output {PROBABILITIES}.")


def _find_text(pattern: re.Pattern[str], body: bytes, values: object) -> Found:
    for piece in pattern.findall(body.decode()):
        if msgspec.json.decode(piece) == values:
            return Found(np.array(values, np.float64), str(piece).encode())
    raise LoadTestError(f"The answer's values are not found in its text: {body[:500]!r}")


def _read_v2(_: Mapping[str, str], body: bytes) -> Found:
    output = _output(msgspec.json.decode(body)["outputs"])
    return _find_text(_V2_DATA, body, output["data"])


def _read_v2_binary(headers: Mapping[str, str], body: bytes) -> Found:
    offset = int(headers[_HEADER_LENGTH])
    for output in msgspec.json.decode(body[:offset])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == PROBABILITIES:
            piece = body[offset : offset + size]
            return Found(np.frombuffer(piece, np.float32).astype(np.float64), piece)
        offset += size
    raise LoadTestError(f"The answer has no output {PROBABILITIES}.")


def _read_bytes(_: Mapping[str, str], body: bytes) -> Found:
    # For each row an INT64 label, and after all labels two FP32 probabilities for each row.
    piece = body[len(body) // 2 :]
    return Found(np.frombuffer(piece, np.float32).astype(np.float64), piece)


def _read_service(_: Mapping[str, str], body: bytes) -> Found:
    return _find_text(_SERVICE_DATA, body, msgspec.json.decode(body)[PROBABILITIES])


_INFER = f"/v2/models/{MODEL}/infer"
V2_JSON = Form("V2 JSON", _INFER, _write_v2, _read_v2)
V2_BINARY = Form("V2 binary", _INFER, _write_v2_binary, _read_v2_binary)
PLAIN_BYTES = Form("plain bytes", f"/v2/models/{MODEL}/raw", _write_bytes, _read_bytes)
SERVICE_JSON = Form("JSON rows", "/predict", _write_service, _read_service)
SESSION_JSON = Form("JSON rows", f"/api/sessions/{MODEL}/1", _write_session, _read_service)
