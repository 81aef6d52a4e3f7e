"""When a message is sent again, and when it is given up: pure decisions over one attempt."""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from registry.events import Delivery, DeliveryState

# Seconds from each failed attempt to the next: 16 h 42 min in all, for an outage over night.
RETRIES_S = (5, 30, 120, 600, 3_600, 10_800, 43_200)
_JITTER = 0.2  # of the delay, at most, and added to it
_LONGEST_REST_S = 60.0
_LONGEST_RETRY_AFTER_S = 86_400.0
_GONE = 410
_TOO_MANY = 429


class Answer(Struct, frozen=True, kw_only=True):
    """What a receiver answered; `retry_after_s` where it asks not to be told before."""

    status: int
    retry_after_s: float | None = None


class Unanswered(Struct, frozen=True, kw_only=True):
    """Why no answer came."""

    reason: str


Outcome = Answer | Unanswered


def is_delivered(outcome: Outcome) -> bool:
    """Say whether a receiver has taken a message."""
    return isinstance(outcome, Answer) and 200 <= outcome.status < 300


def is_gone(outcome: Outcome) -> bool:
    """Say whether a receiver asks never to be told again."""
    return isinstance(outcome, Answer) and outcome.status == _GONE


def is_outage(outcome: Outcome) -> bool:
    """Say whether an attempt failed for a reason that the next message would meet too."""
    return isinstance(outcome, Unanswered) or outcome.status == _TOO_MANY or outcome.status >= 500


def settle(delivery: Delivery, outcome: Outcome, *, at: datetime, draw: float) -> Delivery:
    """Say what becomes of a delivery after an attempt; `draw` in [0, 1) spreads the next one.

    It is given up when the last retry has failed. One that met 410 waits for its destination to be
    resumed.
    """
    attempts = delivery.attempts + 1
    attempted = replace(
        delivery,
        attempts=attempts,
        attempted=at,
        status=outcome.status if isinstance(outcome, Answer) else None,
        error=describe_failure(outcome),
    )
    if is_delivered(outcome):
        return replace(attempted, state=DeliveryState.DELIVERED, due=at)
    if attempts > len(RETRIES_S):
        return replace(attempted, state=DeliveryState.DEAD, due=at)
    delay_s = max(RETRIES_S[attempts - 1] * (1 + _JITTER * draw), _retry_after_s(outcome))
    return replace(attempted, due=at + timedelta(seconds=delay_s))


def rest_s(outcome: Outcome, settled: Delivery, *, at: datetime) -> float:
    """Return how many seconds a destination is left alone after an attempt.

    After one that the next message would fail like, as long as until that is tried again, at most
    a minute, so that what comes meanwhile asks whether the receiver is back; and for as long as
    the receiver asks.
    """
    if not is_outage(outcome):
        return 0.0
    until_due_s = (settled.due - at).total_seconds()
    return max(min(until_due_s, _LONGEST_REST_S), _retry_after_s(outcome))


def describe_failure(outcome: Outcome) -> str | None:
    """Say in words why a message was not taken; None where it was."""
    if is_delivered(outcome):
        return None
    if isinstance(outcome, Unanswered):
        return outcome.reason
    return f"it answered {outcome.status}"


def _retry_after_s(outcome: Outcome) -> float:
    if isinstance(outcome, Unanswered) or outcome.retry_after_s is None:
        return 0.0
    return min(max(outcome.retry_after_s, 0.0), _LONGEST_RETRY_AFTER_S)
