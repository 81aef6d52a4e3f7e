"""Requests under a key of the caller's are carried out once (`Idempotency-Key`, an IETF draft).

The key stands for the request before anything is done, and its answer is kept before it is sent. A
caller who has heard nothing sends the same again and is given that answer. Where it was never kept,
since the process died over it or since it shows a secret, the caller is told to look what was done:
nothing is done a second time on a guess.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

from litestar import Request, Response
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.errors import IdempotencyKeyBusy, IdempotencyKeyReused
from gateway.http.conditions import is_write, refuse_blind_dry_run
from gateway.logs import logger
from registry.answers import Answer, Claim
from registry.errors import InvalidRequest, StoreUnavailable
from registry.store import Store
from registry.times import now
from registry.workers import Key

# How long an answer is kept.
KEPT = timedelta(days=1)
# Declared, in the `opt` of its handler, by a route whose answer shows a secret.
SHOWS_SECRET: dict[str, bool] = {"shows_secret": True}

# Nothing was changed, and the same may be asked for again; of any other fault nobody knows.
_NOTHING_CHANGED = 503
_HEADER = "idempotency-key"
# A structured field's string, or the same without its quotes.
_KEY = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,200})"|([\x21\x23-\x7e]{1,200})')
_KEPT_HEADERS = {"content-type", "etag"}
_CLAIM = "claim"


class Once:
    """Answers a request once, over what a store keeps of answers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        """Answer what was answered before, or let the request be carried out.

        Raises IdempotencyKeyReused, IdempotencyKeyBusy and InvalidRequest.
        """
        refuse_blind_dry_run(request)
        given = request.headers.getall(_HEADER, [])
        if not given or not is_write(request):
            return None
        caller: Key = request.state.key
        digest = await asyncio.to_thread(_digest, request, await request.body())
        claimed = Claim(principal=caller.id, key=_read(given), request=digest)
        at = now()
        before = await asyncio.to_thread(self._store.claim, claimed, at, at - KEPT)
        if before is None:
            request.state[_CLAIM] = claimed
            return None
        if before.request != claimed.request:
            raise IdempotencyKeyReused(claimed.key)
        if before.answer is None:
            raise IdempotencyKeyBusy(claimed.key)
        headers = {**before.answer.headers, "idempotent-replayed": "true"}
        return Response(
            before.answer.body,
            status_code=before.answer.status,
            media_type=headers.pop("content-type", "application/json"),
            headers=headers,
        )

    def over(self, app: ASGIApp) -> ASGIApp:
        """Return an application that answers through `app`, and keeps the answer of a request that
        has a key before it is sent.
        """

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            held: list[Any] = []

            async def send_kept(message: Any) -> None:
                claimed: Claim | None = scope.get("state", {}).get(_CLAIM)
                if claimed is None:
                    await send(message)
                    return
                held.append(message)
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    await asyncio.to_thread(self._settle, scope, claimed, held)
                    for one in held:
                        await send(one)

            await app(scope, receive, send_kept)

        return answer

    def _settle(self, scope: Scope, claimed: Claim, messages: list[Any]) -> None:
        """Keep an answer; where nothing came of the request, let its key be used again."""
        start, *bodies = messages
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        try:
            if start["status"] == _NOTHING_CHANGED:
                self._store.release(claimed)
            elif start["status"] < 500 and not (start["status"] < 300 and _shows_secret(scope)):
                answer = Answer(
                    status=start["status"],
                    headers={name: headers[name] for name in _KEPT_HEADERS & headers.keys()},
                    body=b"".join(one.get("body", b"") for one in bodies),
                )
                self._store.keep_answer(claimed, answer)
        except StoreUnavailable as error:
            # What was asked is done, and its caller is told so all the same.
            logger.error("answer_not_kept", detail=str(error))


def _shows_secret(scope: Scope) -> bool:
    return SHOWS_SECRET.items() <= scope["route_handler"].opt.items()


def _digest(request: Request[Any, Any, Any], body: bytes) -> str:
    what = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return sha256(what + body).hexdigest()


def _read(given: Sequence[str]) -> str:
    found = _KEY.fullmatch(given[0].strip())
    if found is None or len(given) > 1:
        raise InvalidRequest(
            "Idempotency-Key",
            "A request has one key, of 1 to 200 printable characters of ASCII, as a UUID is.",
        )
    return found[1] or found[2]
