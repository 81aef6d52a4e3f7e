"""Whoever is to know is told at least once, whatever a receiver does; what it never takes is seen.

The receiver is a real server; the time is set.
"""

import socket
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from gateway.notifications.schedule import RETRIES_S
from registry import notifications
from registry.errors import StoreUnavailable
from registry.events import DeliveryState, Form
from registry.registry import Registry
from tests.builders import AUTHOR
from tests.receiver import CLOSE, HANG, Receiver, Reply
from tests.unit.gateway.telling import Teller


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def teller(registry: Registry, tmp_path: Path, receiver: Receiver) -> Iterator[Teller]:
    teller = Teller(registry, tmp_path)
    teller.open("ops", receiver.url)
    yield teller
    teller.close()


def ids(receiver: Receiver) -> list[str]:
    return [one.id for one in receiver.received]


def test_a_healthy_receiver_is_told_each_event_once_and_in_order(
    teller: Teller, receiver: Receiver
) -> None:
    events = [teller.announce() for _ in range(20)]
    teller.deliver()
    teller.deliver()

    assert ids(receiver) == [event.id for event in events]
    assert teller.states() == ["delivered"] * 20
    assert all(one.path == "/hook" for one in receiver.received)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(status=500), "it answered 500"),
        (Reply(status=503), "it answered 503"),
        (Reply(status=429), "it answered 429"),
        (Reply(status=400), "it answered 400"),
        (Reply(status=304), "it answered 304"),
        (Reply(status=302, headers={"location": "/elsewhere"}), "it answered 302"),
        (CLOSE, "it cannot be reached (RemoteProtocolError)"),
    ],
)
def test_what_is_not_taken_is_sent_again_with_the_same_id(
    teller: Teller, receiver: Receiver, reply: Reply, why: str
) -> None:
    receiver.replies = [reply, reply]
    event = teller.announce()
    teller.deliver()
    [waiting] = teller.deliveries()
    assert (waiting.state, waiting.attempts, waiting.error) == (DeliveryState.PENDING, 1, why)
    assert waiting.due == teller.clock() + timedelta(seconds=RETRIES_S[0])

    teller.clock.advance(RETRIES_S[0] - 0.1)
    teller.deliver()
    assert len(receiver.received) == 1
    teller.clock.advance(0.1)
    teller.deliver()
    assert teller.deliveries()[0].due == teller.clock() + timedelta(seconds=RETRIES_S[1])
    teller.clock.advance(RETRIES_S[1])
    teller.deliver()

    assert ids(receiver) == [event.id] * 3
    [done] = teller.deliveries()
    assert (done.state, done.attempts, done.status, done.error) == ("delivered", 3, 204, None)
    assert {one.path for one in receiver.received} == {"/hook"}  # no redirect was followed


def test_each_attempt_is_signed_at_its_own_time(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [Reply(status=500)]
    teller.announce()
    teller.deliver()
    teller.clock.advance(RETRIES_S[0])
    teller.deliver()

    first, second = receiver.received
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_a_receiver_that_hangs_is_waited_for_no_longer_than_the_deadline(
    registry: Registry, tmp_path: Path, receiver: Receiver
) -> None:
    teller = Teller(registry, tmp_path, deadline_s=0.05)
    teller.open("ops", receiver.url)
    receiver.replies = [HANG]
    teller.announce()
    teller.deliver()

    [waiting] = teller.deliveries()
    assert (waiting.error, waiting.status) == ("it did not answer in time", None)
    teller.close()


def test_a_receiver_that_is_not_there_is_tried_again(registry: Registry, tmp_path: Path) -> None:
    teller = Teller(registry, tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        teller.open("ops", f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        teller.announce()
        teller.deliver()

    [waiting] = teller.deliveries()
    assert (waiting.state, waiting.error) == ("pending", "it cannot be reached (ConnectError)")
    teller.close()


def test_what_is_never_taken_is_dead_after_the_last_retry_and_can_be_sent_again(
    teller: Teller, receiver: Receiver
) -> None:
    receiver.replies = [Reply(status=500)] * (len(RETRIES_S) + 1)
    event = teller.announce()
    begun = teller.clock()
    teller.deliver()
    for delay_s in RETRIES_S:
        teller.clock.advance(delay_s)
        teller.deliver()

    assert len(receiver.received) == len(RETRIES_S) + 1
    assert teller.clock() - begun == timedelta(seconds=sum(RETRIES_S))
    [dead] = teller.deliveries(DeliveryState.DEAD)
    assert (dead.attempts, dead.error) == (8, "it answered 500")
    teller.clock.advance(1e6)
    teller.deliver()
    assert len(receiver.received) == 8

    notifications.send_again(teller.registry, dead.number, AUTHOR)
    teller.deliver()
    assert ids(receiver) == [event.id] * 9
    assert teller.states() == ["delivered"]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_date", [False, True])
def test_nothing_is_sent_before_the_receiver_wants_it(
    teller: Teller, receiver: Receiver, status: int, is_date: bool
) -> None:
    teller.clock.at = teller.clock.at.replace(microsecond=0)
    until = teller.clock() + timedelta(seconds=900)
    asked = format_datetime(until, usegmt=True) if is_date else "900"
    receiver.replies = [Reply(status=status, headers={"retry-after": asked})]
    teller.announce()
    teller.deliver()
    teller.clock.advance(899)
    teller.announce()
    teller.deliver()
    assert len(receiver.received) == 1

    teller.clock.advance(1)
    teller.deliver()
    assert teller.states() == ["delivered", "delivered"]


def test_a_receiver_cannot_ask_for_more_than_a_day(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [Reply(status=503, headers={"retry-after": "999999999"})]
    teller.announce()
    teller.deliver()
    teller.clock.advance(86_400)
    teller.deliver()

    assert teller.states() == ["delivered"]


def test_a_retry_after_that_is_nothing_is_passed_over(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [
        Reply(status=503, headers={"retry-after": text}) for text in ("soon", "-5", "1e9")
    ]
    teller.announce()
    for delay_s in (0, *RETRIES_S[:3]):
        teller.clock.advance(delay_s)
        teller.deliver()

    assert teller.states() == ["delivered"]


def test_after_an_outage_what_waited_is_told_at_once_and_in_order(
    teller: Teller, receiver: Receiver
) -> None:
    receiver.replies = [Reply(status=500)] * 8
    events = [teller.announce() for _ in range(2)]
    for delay_s in (0, *RETRIES_S[:4]):
        teller.clock.advance(delay_s)
        teller.deliver()
    while receiver.replies:  # what waits is an hour from being tried again
        events.append(teller.announce())
        teller.deliver()
        teller.clock.advance(60)
    newest = teller.announce()
    receiver.received.clear()
    teller.deliver()

    assert {one.state for one in teller.deliveries()} == {DeliveryState.DELIVERED}
    told = ids(receiver)
    waited = [event.id for event in events]
    assert sorted(told) == sorted([*waited, newest.id])
    # The one that finds the receiver back goes first, and then everything as it happened.
    assert told[1:] == [one for one in [*waited, newest.id] if one != told[0]]


def test_while_a_receiver_is_gone_it_is_left_alone_but_for_a_message_a_minute(
    teller: Teller, receiver: Receiver
) -> None:
    receiver.replies = [Reply(status=500)] * 1000
    for _ in range(100):
        teller.announce()
    for _ in range(600):
        teller.deliver()
        teller.clock.advance(1)

    # A first attempt is followed by 5 s of rest, and one that failed more often by up to 60 s.
    assert 10 <= len(receiver.received) <= 600 / RETRIES_S[0]
    assert set(teller.states()) == {"pending"}


def test_a_message_that_is_refused_holds_up_no_other(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [Reply(status=400)]
    refused = teller.announce()
    others = [teller.announce() for _ in range(3)]
    teller.deliver()

    assert ids(receiver) == [refused.id, *(one.id for one in others)]
    assert teller.states() == ["pending", "delivered", "delivered", "delivered"]
    assert teller.deliveries()[0].due == teller.clock() + timedelta(seconds=RETRIES_S[0])


def test_410_pauses_a_destination_and_everything_waits_for_it_to_be_resumed(
    teller: Teller, receiver: Receiver
) -> None:
    receiver.replies = [Reply(status=410)]
    events = [teller.announce() for _ in range(3)]
    teller.deliver()
    teller.clock.advance(1e7)
    teller.deliver()
    assert len(receiver.received) == 1
    assert teller.states() == ["pending"] * 3
    [paused] = teller.store.destinations()
    assert paused.paused is not None

    notifications.resume_destination(teller.registry, "ops", AUTHOR)
    teller.deliver()
    assert ids(receiver)[1:] == [event.id for event in events]


def test_what_was_sent_and_not_settled_is_told_again_with_the_same_id(
    teller: Teller, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = teller.announce()

    def fail(_: object) -> None:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(teller.store, "settle", fail)
        teller.deliver()
    assert teller.states() == ["pending"]

    teller.restart()
    teller.deliver()
    assert ids(receiver) == [event.id, event.id]
    assert teller.states() == ["delivered"]


def test_a_schedule_outlives_the_controller(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [Reply(status=500)] * 2
    teller.announce()
    for delay_s in (0, RETRIES_S[0]):
        teller.clock.advance(delay_s)
        teller.deliver()
    teller.restart()
    teller.deliver()
    assert len(receiver.received) == 2

    teller.clock.advance(RETRIES_S[1])
    teller.deliver()
    assert [one.attempts for one in teller.deliveries(DeliveryState.DELIVERED)] == [3]


def test_a_destination_that_was_removed_is_told_nothing(teller: Teller, receiver: Receiver) -> None:
    receiver.replies = [
        Reply(
            status=500,
            before=lambda: (
                notifications.remove_destination(teller.registry, "ops", AUTHOR) and None
            ),
        )
    ]
    for _ in range(3):
        teller.announce()
    teller.deliver()  # it is removed while it is told the first
    teller.clock.advance(RETRIES_S[0])
    teller.deliver()

    assert len(receiver.received) == 1
    assert teller.deliveries() == []


def test_a_secret_that_is_gone_is_a_reason_and_no_fault(teller: Teller, receiver: Receiver) -> None:
    [destination] = teller.store.destinations()
    teller.secrets.remove(destination.secret)
    teller.announce()
    teller.deliver()

    [waiting] = teller.deliveries()
    assert waiting.error == "the file of its secret cannot be read"
    assert receiver.received == []


def test_slack_is_told_at_the_address_that_nobody_is_shown(
    teller: Teller, receiver: Receiver
) -> None:
    assert teller.open("chat", receiver.url + "/T0/B0/token", Form.SLACK) is None
    teller.announce("All < well & done.")
    teller.deliver("chat")

    [message] = receiver.received
    assert message.path == "/hook/T0/B0/token"
    assert b"All &lt; well &amp; done." in message.body
    assert message.headers["webhook-signature"] is None
    assert "token" not in str(teller.store.destinations())
