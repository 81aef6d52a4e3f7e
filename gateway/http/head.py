"""What both transports of inference share: from a head to a call, from a result to a reply.

Knows neither ASGI nor sockets.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

from gateway.cases import Answer, Call, Denial
from gateway.errors import BodyTooLarge, GatewayError, UnsupportedEncoding
from gateway.http.problems import Reply, reply_to, reply_to_error
from gateway.security import read_credential

INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_JSON = "application/json"


class Head(Struct, frozen=True, kw_only=True):
    """What the head of an inference request says; `length` is None where the body comes in chunks.

    `fault` is why the body need not be looked at.
    """

    path: str
    model: str
    version: str | None
    credential: bytes | None
    length: int | None
    fault: GatewayError | None = None

    def call(self, body: bytes, source: str | None) -> Call:
        return Call(
            model=self.model,
            version=self.version,
            body=body,
            credential=self.credential,
            source=source,
        )


def read_head(path: str, headers: Iterable[tuple[bytes, bytes]], *, body_limit: int) -> Head | None:
    """Read the head of a POST, its names in lower case; None where it is no inference."""
    found = INFER_PATH.fullmatch(path)
    if found is None:
        return None
    given = {name: value.decode("latin-1") for name, value in headers}
    length = int(given[b"content-length"]) if b"content-length" in given else None
    return Head(
        path=path,
        model=found[1],
        version=found[2],
        credential=read_credential(given.get(b"authorization")),
        length=length,
        fault=_fault(given, length or 0, body_limit),
    )


def _fault(headers: dict[bytes, str], length: int, body_limit: int) -> GatewayError | None:
    if headers.get(b"content-encoding", "identity") != "identity":
        return UnsupportedEncoding("Content-Encoding")
    if b"inference-header-content-length" in headers:
        return UnsupportedEncoding("Inference-Header-Content-Length")
    return BodyTooLarge(body_limit) if length > body_limit else None


def reply_of(result: Answer | Denial | Exception, path: str) -> Reply:
    """Put what became of a call on the wire."""
    if isinstance(result, Answer):
        headers = {"content-type": _JSON, "x-record-id": result.record_id}
        return Reply(200, headers, result.body)
    if isinstance(result, Denial):
        return reply_to(result.refusal, path, record_id=result.record_id)
    return reply_to_error(result, path)
