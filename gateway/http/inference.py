"""The ASGI endpoint of inference: reads a body within its limits, asks the pipeline, answers."""

import asyncio
import re
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from gateway.errors import (
    BodyCutOff,
    BodyTimeout,
    BodyTooLarge,
    MethodNotAllowed,
    UnsupportedEncoding,
)
from gateway.http.problems import Reply, reply_to, reply_to_error
from gateway.pipeline import Call, Denial, Pipeline

INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_JSON = b"application/json"


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
            headers = _headers(scope)
            _check_form(scope["method"], headers)
            body = await self._read(headers, receive)
            call = Call(
                model=model,
                version=version,
                body=body,
                authorization=headers.get(b"authorization"),
                source=scope["client"][0] if scope["client"] else None,
                traceparent=headers.get(b"traceparent"),
            )
            result = await self._pipeline.infer(call)
        except Exception as error:  # noqa: BLE001 - the top of a request: answered and logged
            await _send_reply(send, reply_to_error(error, scope["path"]))
            return
        if isinstance(result, Denial):
            reply = reply_to(result.refusal, scope["path"], record_id=result.record_id)
            await _send_reply(send, reply)
            return
        await _send(
            send,
            200,
            [(b"content-type", _JSON), (b"x-record-id", result.record_id.encode())],
            result.body,
        )

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


def _check_form(method: str, headers: dict[bytes, str]) -> None:
    if method != "POST":
        raise MethodNotAllowed("POST")
    if headers.get(b"content-encoding", "identity") != "identity":
        raise UnsupportedEncoding("Content-Encoding")
    if b"inference-header-content-length" in headers:
        raise UnsupportedEncoding("Inference-Header-Content-Length")


def _headers(scope: HTTPScope) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


async def _send_reply(send: Send, reply: Reply) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await _send(send, reply.status, headers, reply.body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
