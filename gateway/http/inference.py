"""The ASGI endpoint of inference: reads a body within its limits, asks the pipeline, answers."""

import asyncio
import re
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from gateway.errors import BodyCutOff, BodyTimeout, BodyTooLarge, MethodNotAllowed
from gateway.http.problems import Reply, reply_to, reply_to_error
from gateway.pipeline import Answer, Call, Denial, Pipeline
from gateway.protocol.compression import choose_encoding, compress, decompress
from gateway.protocol.reader import parse_header_length
from gateway.protocol.refusal import Refusal

INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_LEAST_PACKED_BYTES = 1 << 10  # a smaller body is hardly made smaller


class InferenceEndpoint:
    """Answers `POST /v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(self, pipeline: Pipeline, *, body_limit: int, body_deadline_s: float) -> None:
        self._pipeline = pipeline
        self._body_limit = body_limit
        self._body_deadline_s = body_deadline_s

    async def __call__(
        self, scope: HTTPScope, receive: Receive, send: Send, model: str, version: str | None
    ) -> None:
        """Answer one request; any fault has the one error shape."""
        try:
            _check_method(scope["method"])
            headers = _headers(scope)
            body = await self._read(headers, receive)
            encoding = headers.get(b"content-encoding", "identity").strip().lower()
            unpacked = decompress(body, encoding, self._body_limit)
            if isinstance(unpacked, Refusal):
                await _send_reply(send, reply_to(unpacked, scope["path"]))
                return
            call = Call(
                model=model,
                version=version,
                body=unpacked,
                authorization=headers.get(b"authorization"),
                source=scope["client"][0] if scope["client"] else None,
                header_length=parse_header_length(headers.get(b"inference-header-content-length")),
            )
            result = await self._pipeline.infer(call)
        except Exception as error:  # noqa: BLE001 - the top of a request: answered and logged
            await _send_reply(send, reply_to_error(error, scope["path"]))
            return
        if isinstance(result, Denial):
            reply = reply_to(result.refusal, scope["path"], record_id=result.record_id)
        else:
            reply = reply_with(result, headers.get(b"accept-encoding"))
        await _send_reply(send, reply)

    async def _read(self, headers: dict[bytes, str], receive: Receive) -> bytes:
        if int(headers.get(b"content-length", "0")) > self._body_limit:
            raise BodyTooLarge(self._body_limit)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_deadline_s):
                while True:
                    message: Any = await receive()
                    if message["type"] == "http.disconnect":
                        raise BodyCutOff
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._body_limit:
                        raise BodyTooLarge(self._body_limit)
                    if not message.get("more_body", False):
                        return parts[0] if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise BodyTimeout(self._body_deadline_s) from None


def _check_method(method: str) -> None:
    if method != "POST":
        raise MethodNotAllowed("POST")


def reply_with(answer: Answer, accept_encoding: str | None) -> Reply:
    """Put an answer into the form it goes on the wire with, packed where the caller reads that."""
    body, header_length = answer.encoded.body, answer.encoded.header_length
    headers = {"content-type": "application/json", "x-record-id": answer.record_id}
    if header_length is not None:
        headers["content-type"] = "application/octet-stream"
        headers["inference-header-content-length"] = str(header_length)
    encoding = choose_encoding(accept_encoding) if len(body) > _LEAST_PACKED_BYTES else None
    if encoding is not None:
        headers["content-encoding"] = encoding
        body = compress(body, encoding)
    return Reply(200, headers, body)


def _headers(scope: HTTPScope) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


async def _send_reply(send: Send, reply: Reply) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
