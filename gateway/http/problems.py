"""The only table from errors to status codes, and the one JSON shape of every error.

The shape has the members of RFC 9457, `code` for machines, `error` with the same sentence for
clients of the Open Inference Protocol, which read nothing else, and `violations` where the input is
at fault.
"""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Send
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import GatewayError, MethodNotAllowed, Unforeseen
from gateway.logs import logger
from gateway.protocol.refusal import SENTENCES, WITHHELD, Refusal, Violation
from registry.errors import NotPublished, RegistryError, clip

_RETRY_AFTER_S = "1"

STATUSES: dict[str, int] = {
    **dict.fromkeys(SENTENCES, 400),
    "bad-host": 400,
    "bad-request": 400,
    "body-cut-off": 400,
    "invalid-request": 400,
    "input-not-accepted": 400,
    "malformed-request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "force-not-allowed": 403,
    "not-allowed": 403,
    "self-approval": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "request-timeout": 408,
    "conflict": 409,
    "not-yet-published": 409,
    "already-champion": 409,
    "approval-needed": 409,
    "finding-not-open": 409,
    "idempotency-key-busy": 409,
    "latency-unmeasured": 409,
    "no-champion": 409,
    "nothing-to-roll-back-to": 409,
    "promotion-decided": 409,
    "promotion-expired": 409,
    "promotion-held": 409,
    "promotion-pending": 409,
    "promotion-stale": 409,
    "rollout-not-ready": 409,
    "rollout-over": 409,
    "shares-exceeded": 409,
    "signature-differs": 409,
    "version-in-rollout": 409,
    "version-in-use": 409,
    "version-retired": 409,
    "under-hold": 409,
    "gone": 410,
    "payload-erased": 410,
    "payload-expired": 410,
    "state-changed": 412,
    "body-too-large": 413,
    "unsupported-encoding": 415,
    "unsupported-media-type": 415,
    "idempotency-key-reused": 422,
    "plan-rejected": 422,
    "rejected": 422,
    "head-too-large": 431,
    Unforeseen.slug: 500,
    "damaged": 500,
    "gateway-error": 500,
    "model-failed": 500,
    WITHHELD: 500,
    "registry-error": 500,
    "journal-broken": 503,
    "journal-unavailable": 503,
    "log-key-missing": 503,
    "model-timeout": 503,
    "not-erased": 503,
    "not-followed": 503,
    "not-loaded": 503,
    "overloaded": 503,
    "payload-key-missing": 503,
    "store-incompatible": 503,
    "store-unavailable": 503,
    "too-late": 503,
    "unloaded": 503,
}
_TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    412: "Precondition failed",
    413: "Content too large",
    415: "Unsupported media type",
    422: "Unprocessable content",
    431: "Request header fields too large",
    500: "Internal error",
    503: "Service unavailable",
}
# What the framework itself refuses, by its status code.
_FRAMEWORK_CODES = {
    400: Refusal("bad-request", "The request is not what this route takes."),
    404: Refusal("not-found", "There is nothing at this address."),
    405: Refusal("method-not-allowed", "This route does not take this method."),
    413: Refusal("body-too-large", "The body is larger than what is accepted here."),
    415: Refusal("unsupported-encoding", "This route does not read a body of this type."),
}
_BODY = "data"  # as handlers call what they read of a body
_MOST_FAULTS = 3
_LONGEST_FAULT = 150
# Faults of a body that the framework's decoder lets through.
_UNREADABLE = (UnicodeDecodeError, RecursionError)


class Problem(Struct, kw_only=True, omit_defaults=True):
    """The body of every answer that is not a success."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    error: str
    violations: tuple[Violation, ...] = ()
    check: str | None = None
    record_id: str | None = None


class Reply(Struct, frozen=True):
    """What goes on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def reply_to(
    refusal: Refusal, path: str, *, record_id: str | None = None, check: str | None = None
) -> Reply:
    """Put a refusal into the one shape, with the headers its status asks for."""
    status = STATUSES[refusal.code]
    problem = Problem(
        type=f"/problems/{refusal.code}",
        title=_TITLES[status],
        status=status,
        detail=refusal.detail,
        code=refusal.code,
        error=refusal.detail,
        violations=refusal.violations,
        check=check,
        record_id=record_id,
    )
    headers = {"content-type": content_type(path)}
    if status == 408:
        # What still arrives of the body would be waited for as long as the connection lives.
        headers["connection"] = "close"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 503 or refusal.code == NotPublished.slug:
        headers["retry-after"] = _RETRY_AFTER_S
    if record_id is not None:
        headers["x-record-id"] = record_id
    return Reply(status, headers, msgspec.json.encode(problem))


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a reply where no framework does."""
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def content_type(path: str) -> str:
    """Return the type of an error's body: clients of the protocol read it under this one alone."""
    is_protocol = path == "/v2" or path.startswith("/v2/")
    return "application/json" if is_protocol else "application/problem+json"


def reply_to_error(error: Exception, path: str) -> Reply:
    """Put any exception into the one shape; one that nobody foresaw is logged and tells nothing."""
    if isinstance(error, RegistryError | GatewayError):
        reply = reply_to(Refusal(error.slug, str(error)), path, check=getattr(error, "check", None))
        if isinstance(error, MethodNotAllowed):
            reply.headers["allow"] = error.allowed
        return reply
    if isinstance(error, HTTPException) and error.status_code in _FRAMEWORK_CODES:
        reply = reply_to(_refusal_of(error), path)
        reply.headers.update(_allow(error))
        return reply
    if isinstance(error, _UNREADABLE):
        return reply_to(Refusal("malformed-json", SENTENCES["malformed-json"]), path)
    logger.error("unforeseen_error", path=path, exc_info=error)
    return reply_to_error(Unforeseen(), path)


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer for Litestar, whatever a handler or the framework raised."""
    reply = reply_to_error(error, request.url.path)
    headers = dict(reply.headers)
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=headers.pop("content-type"),
        headers=headers,
    )


def _refusal_of(error: HTTPException) -> Refusal:
    """Say what the framework refused, with the member that does not fit where it names one."""
    refusal = _FRAMEWORK_CODES[error.status_code]
    if not isinstance(error, ValidationException) or not isinstance(error.extra, list):
        return refusal
    faults = "; ".join(_fault(one) for one in error.extra[:_MOST_FAULTS])
    return replace(refusal, detail=f"{refusal.detail.removesuffix('.')}: {faults}.")


def _fault(found: dict[str, str]) -> str:
    member, message = found.get("key", _BODY), found["message"]
    if message == repr(_BODY):  # nothing was sent where a body is read
        return "a body is needed"
    where = "body" if member == _BODY else member
    return f"{clip(where)}: {clip(message, _LONGEST_FAULT)}".replace("`", "'")


def _allow(error: HTTPException) -> dict[str, str]:
    headers = error.headers or {}
    return {name.lower(): value for name, value in headers.items() if name.lower() == "allow"}
