"""Every fault the gateway raises, as one tree; what the registry raises passes through.

    GatewayError
    ├── Unauthenticated     no valid key
    ├── Forbidden           a valid key without the role
    ├── NotServed           no such model or version answers here
    ├── ModelUnloaded       the model is out of service
    ├── NotLoaded           a worker cannot load what is to be served
    ├── NotFollowed         not every worker obeys a change yet
    ├── NotErased           the journal still holds what is to be erased
    ├── MethodNotAllowed    the route exists, not for this method
    ├── BodyTooLarge        more bytes than the limit
    ├── BodyTimeout         the body did not arrive in time
    ├── BodyCutOff          the caller went away before the body was whole
    ├── HeadTooLarge        a head of more fields or bytes than is read
    ├── HeadTimeout         the head did not arrive in time
    ├── BadHost             not one Host field
    ├── MalformedRequest    no HTTP
    ├── UnsupportedEncoding a body in a form that is not read
    ├── UnsupportedMedia    a body that says it is neither JSON nor bytes
    ├── Overloaded          more requests than the worker takes on
    ├── ReplayBusy          another replay is under way
    ├── ReportBusy          another report of ground truth is under way
    ├── ReportTooLong       a report of ground truth takes too long
    ├── QueueTooLong        more work before a long run than its caller should wait for
    ├── TooLate             the caller's own timeout passed while the request waited
    ├── InputNotAccepted    the model itself refused the input
    ├── RunFailed           the model failed
    ├── RunTimeout          the model ran too long
    └── Unforeseen          a fault of the gateway itself

What a client may read is the sentence built here: no path, no text of another exception.
"""

from registry.errors import clip


class GatewayError(Exception):
    """Root of all faults of this package; `slug` names the kind for machines."""

    slug = "gateway-error"


class Unauthenticated(GatewayError):
    slug = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("Send a valid key as `Authorization: Bearer <key>`.")


class Forbidden(GatewayError):
    slug = "forbidden"

    def __init__(self, roles: frozenset[str]) -> None:
        self.roles = roles
        needed = " or ".join(sorted(roles)) or "no role at all"
        super().__init__(f"This key has not the role that is needed here: {needed}.")


class NotServed(GatewayError):
    slug = "not-found"

    def __init__(self, model: str, version: str | None = None) -> None:
        self.model, self.version = model, version
        named = clip(model) if version is None else f"{clip(model)} version {clip(version)}"
        super().__init__(f"No {named} is served here: no alias names it.")


class ModelUnloaded(GatewayError):
    slug = "unloaded"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Model {clip(model)} was unloaded and is out of service until it is loaded."
        )


class NotLoaded(GatewayError):
    slug = "not-loaded"

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason
        super().__init__(f"A worker cannot load {clip(model)}: {reason}")


class NotFollowed(GatewayError):
    slug = "not-followed"

    def __init__(self, late: int, deadline_s: float) -> None:
        self.late, self.deadline_s = late, deadline_s
        super().__init__(
            f"The change is stored, but {late} of the workers did not follow within"
            f" {deadline_s:g} s; ask again to wait for them."
        )


class NotErased(GatewayError):
    slug = "not-erased"

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(
            "Nothing was erased: the journal still holds records from before, which were not"
            f" integrated within {deadline_s:g} s; ask again."
        )


class IdempotencyKeyReused(GatewayError):
    slug = "idempotency-key-reused"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"The Idempotency-Key {clip(key)!r} stands for another request already; nothing was"
            " done. Send each request under a key of its own."
        )


class IdempotencyKeyBusy(GatewayError):
    slug = "idempotency-key-busy"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"The request under the Idempotency-Key {clip(key)!r} was begun already, and its answer"
            " is not, or not yet, kept. Look whether it was done before you send it anew."
        )


class MethodNotAllowed(GatewayError):
    slug = "method-not-allowed"

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"This route takes {allowed} only.")


class BodyTooLarge(GatewayError):
    slug = "body-too-large"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"The body is larger than the {limit:,} bytes accepted here.")


class BodyTimeout(GatewayError):
    slug = "request-timeout"

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(f"The body did not arrive within {deadline_s:g} s.")


class BodyCutOff(GatewayError):
    slug = "body-cut-off"

    def __init__(self) -> None:
        super().__init__("The connection ended before the body was whole.")


class HeadTooLarge(GatewayError):
    slug = "head-too-large"

    def __init__(self) -> None:
        super().__init__("The head of the request has more than 100 fields, or more than 64 KiB.")


class HeadTimeout(GatewayError):
    slug = "request-timeout"

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        super().__init__(f"The head of the request did not arrive within {deadline_s:g} s.")


class BadHost(GatewayError):
    slug = "bad-host"

    def __init__(self) -> None:
        super().__init__("A request has exactly one field `Host`.")


class MalformedRequest(GatewayError):
    slug = "malformed-request"

    def __init__(self) -> None:
        super().__init__("This is not a request in HTTP/1.1.")


class UnsupportedEncoding(GatewayError):
    slug = "unsupported-encoding"

    def __init__(self) -> None:
        super().__init__("Content-Encoding may be gzip, deflate or identity here.")


class UnsupportedMedia(GatewayError):
    slug = "unsupported-media-type"

    def __init__(self) -> None:
        super().__init__(
            "Send a body of the type application/json or application/octet-stream, or name no type."
        )


class Overloaded(GatewayError):
    slug = "overloaded"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"All {limit} places for requests are taken; try again later.")


class QueueTooLong(GatewayError):
    slug = "overloaded"

    def __init__(self, longest_wait_s: float) -> None:
        self.longest_wait_s = longest_wait_s
        super().__init__(
            f"This run would wait for longer than {longest_wait_s:.3g} s; try again later."
        )


class ReplayBusy(GatewayError):
    slug = "overloaded"

    def __init__(self) -> None:
        super().__init__("Another record is being replayed by this worker; try again later.")


class ReportBusy(GatewayError):
    slug = "overloaded"

    def __init__(self) -> None:
        super().__init__("Another report is being made by this worker; try again later.")


class ReportTooLong(GatewayError):
    slug = "overloaded"

    def __init__(self) -> None:
        super().__init__("The report takes too long or too much; ask for a shorter window.")


class TooLate(GatewayError):
    slug = "too-late"

    def __init__(self) -> None:
        super().__init__("The request waited longer than its parameter `timeout` allows.")


class InputNotAccepted(GatewayError):
    slug = "input-not-accepted"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model} cannot compute with this input.")


class RunFailed(GatewayError):
    slug = "model-failed"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model} failed on this input.")


class RunTimeout(GatewayError):
    slug = "model-timeout"

    def __init__(self, model: str, version: int, deadline_s: float) -> None:
        self.model, self.version, self.deadline_s = model, version, deadline_s
        super().__init__(f"Version {version} of {model} ran longer than {deadline_s:g} s.")


class Unforeseen(GatewayError):
    slug = "internal-error"

    def __init__(self) -> None:
        super().__init__("The gateway failed; the fault is in its log.")


# Codes of requests that were not run, for want of room or of time: they say nothing of a version.
SHED = frozenset({Overloaded.slug, QueueTooLong.slug, TooLate.slug})
