"""The ASGI endpoint of inference: reads a body within its limits, asks the pipeline, answers."""

import asyncio
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from gateway.cases import Answer, Denial
from gateway.errors import BodyCutOff, BodyTimeout, BodyTooLarge, MethodNotAllowed
from gateway.http.head import Head, read_head, reply_of
from gateway.http.problems import send_reply
from gateway.pipeline import Pipeline


class InferenceEndpoint:
    """Answers `POST /v2/models/{model}[/versions/{version}]/infer`."""

    def __init__(self, pipeline: Pipeline, *, body_limit: int, body_deadline_s: float) -> None:
        self._pipeline = pipeline
        self._body_limit = body_limit
        self._body_deadline_s = body_deadline_s

    def head_of(self, scope: HTTPScope) -> Head | None:
        """Read the head of a request; None where it is no inference."""
        return read_head(scope["path"], scope["headers"], body_limit=self._body_limit)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send, head: Head) -> None:
        """Answer one request; any fault has the one error shape."""
        try:
            result = await self._infer(scope, receive, head)
        except Exception as error:  # noqa: BLE001 - the top of a request: answered and logged
            await send_reply(send, reply_of(error, head))
        else:
            await send_reply(send, reply_of(result, head))

    async def _infer(self, scope: HTTPScope, receive: Receive, head: Head) -> Answer | Denial:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        if head.fault is not None:
            raise head.fault.with_traceback(None)
        body = await self._read(receive)
        source = scope["client"][0] if scope["client"] else None
        return await self._pipeline.infer(head.call(body, source))

    async def _read(self, receive: Receive) -> bytes:
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
