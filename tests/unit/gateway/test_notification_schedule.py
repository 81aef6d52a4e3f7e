"""When a message is sent again, and when not: decisions over one attempt."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from gateway.notifications.schedule import (
    RETRIES_S,
    Answer,
    Outcome,
    Unanswered,
    is_delivered,
    is_outage,
    rest_s,
    settle,
)
from gateway.notifications.sending import read_retry_after
from registry.events import Delivery, DeliveryState
from tests.unit.gateway.test_notification_forms import EVENT

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELIVERY = Delivery(
    number=1, destination="ops", event=EVENT, state=DeliveryState.PENDING, attempts=0, due=AT,
    attempted=None, status=None, error=None,
)  # fmt: skip
FAILED = Answer(status=500)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(status: int) -> None:
    done = settle(DELIVERY, Answer(status=status), at=AT, draw=0.5)

    assert (done.state, done.attempts, done.attempted, done.error) == ("delivered", 1, AT, None)


@pytest.mark.parametrize("status", [100, 199, 300, 301, 400, 404, 410, 429, 500, 599])
def test_nothing_else_is(status: int) -> None:
    settled = settle(DELIVERY, Answer(status=status), at=AT, draw=0.5)

    assert not is_delivered(Answer(status=status))
    assert (settled.state, settled.status) == ("pending", status)
    assert settled.error == f"it answered {status}"


def test_retries_come_later_and_later_and_end() -> None:
    one, delays = DELIVERY, []
    while one.state is DeliveryState.PENDING:
        one = settle(one, FAILED, at=AT, draw=0.0)
        delays.append((one.due - AT).total_seconds())

    assert delays == [*RETRIES_S, 0]
    assert one.state is DeliveryState.DEAD
    assert all(later > 2 * sooner for sooner, later in pairwise(RETRIES_S))


def test_jitter_spreads_retries_and_makes_none_earlier() -> None:
    dues = [settle(DELIVERY, FAILED, at=AT, draw=draw).due - AT for draw in (0.0, 0.5, 0.999)]

    assert dues[0] == timedelta(seconds=5)
    assert dues[0] < dues[1] < dues[2] < timedelta(seconds=6)


@pytest.mark.parametrize(
    ("outcome", "outage"),
    [
        (Unanswered(reason="gone"), True),
        (Answer(status=429), True),
        (Answer(status=502), True),
        (Answer(status=400), False),
        (Answer(status=302), False),
        (Answer(status=204), False),
    ],
)
def test_a_destination_rests_after_what_the_next_message_would_meet_too(
    outcome: Outcome, outage: bool
) -> None:
    late = replace(DELIVERY, attempts=4)  # the next retry is in an hour

    assert is_outage(outcome) == outage
    for delivery, longest in ((DELIVERY, 5.0), (late, 60.0)):
        settled = settle(delivery, outcome, at=AT, draw=0.0)
        assert rest_s(outcome, settled, at=AT) == (longest if outage else 0.0)


def test_a_receiver_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_a_day() -> None:
    for asked, given in ((900.0, 900.0), (-1.0, 5.0), (1.0, 5.0), (1e12, 86_400.0)):
        outcome = Answer(status=503, retry_after_s=asked)
        settled = settle(DELIVERY, outcome, at=AT, draw=0.0)
        assert settled.due - AT == timedelta(seconds=given)
        assert rest_s(outcome, settled, at=AT) == given


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Sun, 01 Mar 2026 12:15:00 GMT", 900.0),
        ("Sun, 01 Mar 2026 12:15:00 -0000", 900.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", -3600.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("9" * 400, None),
        ("Sun, 99 Mar 2026 12:15:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert read_retry_after(text, AT) == seconds
