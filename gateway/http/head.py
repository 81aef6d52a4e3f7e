"""What both transports of inference share: from a head to a call, from a result to a reply.

Knows neither ASGI nor sockets.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

from gateway.cases import Answer, Call, Denial
from gateway.errors import BodyTooLarge, GatewayError
from gateway.http.problems import Reply, reply_to, reply_to_error
from gateway.protocol.compression import choose_encoding, compress
from gateway.protocol.reader import parse_header_length
from gateway.security import read_credential

INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
# A smaller body is hardly made smaller, and a larger one would hold up everybody else.
_LEAST_PACKED_BYTES, _MOST_PACKED_BYTES = 1 << 10, 1 << 20


class Head(Struct, frozen=True, kw_only=True):
    """What the head of an inference request says; `length` is None where the body comes in chunks.

    `fault` is why the body need not be looked at. `packs` names the encoding in which the caller
    reads large answers.
    """

    path: str
    model: str
    version: str | None
    credential: bytes | None
    length: int | None
    json_length: int | None
    encoding: str
    packs: str | None
    fault: GatewayError | None = None

    def call(self, body: bytes, source: str | None) -> Call:
        return Call(
            model=self.model,
            version=self.version,
            body=body,
            credential=self.credential,
            source=source,
            header_length=self.json_length,
            encoding=self.encoding,
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
        json_length=parse_header_length(given.get(b"inference-header-content-length")),
        encoding=given.get(b"content-encoding", "identity").strip().lower(),
        packs=choose_encoding(given.get(b"accept-encoding")),
        fault=BodyTooLarge(body_limit) if (length or 0) > body_limit else None,
    )


def reply_of(result: Answer | Denial | Exception, head: Head) -> Reply:
    """Put what became of a call on the wire."""
    if isinstance(result, Answer):
        return _reply_with(result, head.packs)
    if isinstance(result, Denial):
        return reply_to(result.refusal, head.path, record_id=result.record_id)
    return reply_to_error(result, head.path)


def is_plain(answer: Answer, head: Head) -> bool:
    """Say whether an answer goes as the JSON it is: not binary, and not packed."""
    encoded = answer.encoded
    return encoded.header_length is None and (
        head.packs is None or len(encoded.body) <= _LEAST_PACKED_BYTES
    )


def _reply_with(answer: Answer, encoding: str | None) -> Reply:
    body, json_length = answer.encoded.body, answer.encoded.header_length
    headers = {"content-type": "application/json", "x-record-id": answer.record_id}
    if json_length is not None:
        headers["content-type"] = "application/octet-stream"
        headers["inference-header-content-length"] = str(json_length)
    if encoding is not None and _LEAST_PACKED_BYTES < len(body) < _MOST_PACKED_BYTES:
        headers["content-encoding"] = encoding
        body = compress(body, encoding)
    return Reply(200, headers, body)
