"""Destinations and deliveries: every change by a person or the controller leaves a record."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from registry import notifications
from registry.entry import decode_record
from registry.errors import (
    DeliveryNotFound,
    DestinationExists,
    DestinationNotFound,
    InvalidRequest,
    ModelNotFound,
)
from registry.events import Delivery, DeliveryState, EventType
from registry.records import AuditRecord, RecordFilter
from registry.registry import Registry
from registry.times import now
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.registry.test_announcing import tell


def newest(registry: Registry) -> AuditRecord:
    # By index: the ids of one millisecond come in any order.
    _, leaf = max(registry.store.records(RecordFilter(), before=None, limit=1000))
    return decode_record(leaf)


def deliveries(registry: Registry, state: DeliveryState | None = None) -> list[Delivery]:
    return registry.store.deliveries(state, before=None, limit=1000)


def kill(registry: Registry, delivery: Delivery) -> None:
    dead = replace(
        delivery, state=DeliveryState.DEAD, attempts=8, attempted=now(), error="it answered 500"
    )
    registry.store.settle(dead)


def test_adding_resuming_and_removing_leave_records(registry: Registry) -> None:
    publish(registry, "sum", linear_model())
    tell(registry, "ops", EventType.CHAMPION_MOVED, models=("sum",))
    record = newest(registry)
    assert (record.action, record.subject, record.principal) == (
        "destination.add", "ops", AUTHOR.principal,
    )  # fmt: skip
    assert record.reason == (
        "standard to https://receiver.example/; models: sum; types: champion.moved"
    )

    notifications.pause_destination(registry.store, "ops", now(), "it answered 410")
    record = newest(registry)
    assert (record.action, record.subject, record.principal, record.reason) == (
        "destination.pause", "ops", "controller", "it answered 410",
    )  # fmt: skip
    assert notifications.find_destination(registry.store, "ops").paused is not None

    assert notifications.resume_destination(registry, "ops", AUTHOR).paused is None
    assert (newest(registry).action, newest(registry).subject) == ("destination.resume", "ops")

    notifications.remove_destination(registry, "ops", AUTHOR)
    assert (newest(registry).action, newest(registry).subject) == ("destination.remove", "ops")
    assert registry.store.destinations() == []


def test_workers_have_nothing_to_do_with_any_of_it(registry: Registry) -> None:
    before = registry.store.generation()
    tell(registry, "ops")
    notifications.resume_destination(registry, "ops", AUTHOR)
    notifications.remove_destination(registry, "ops", AUTHOR)

    assert registry.store.generation() == before


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 200, "-a", "a\n"])
def test_a_name_that_is_none_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        tell(registry, name)


def test_a_destination_that_cannot_be_is_refused_and_leaves_no_record(registry: Registry) -> None:
    tell(registry, "ops")
    before = registry.store.tree_size()
    with pytest.raises(DestinationExists):
        tell(registry, "ops")
    with pytest.raises(ModelNotFound):
        tell(registry, "typo", models=("smu",))
    with pytest.raises(InvalidRequest, match="test"):
        tell(registry, "test", EventType.TEST)
    for verb in (notifications.remove_destination, notifications.resume_destination):
        with pytest.raises(DestinationNotFound):
            verb(registry, "none", AUTHOR)
    with pytest.raises(DeliveryNotFound):
        notifications.send_again(registry, 1, AUTHOR)
    assert notifications.send_dead_again(registry, AUTHOR) == 0

    assert [one.name for one in registry.store.destinations()] == ["ops"]
    assert registry.store.tree_size() == before


def test_a_destination_that_is_removed_takes_what_waited_for_it_and_no_more(
    registry: Registry,
) -> None:
    tell(registry, "ops")
    tell(registry, "other")
    publish(registry, "sum", linear_model())
    notifications.remove_destination(registry, "ops", AUTHOR)

    assert [one.destination for one in deliveries(registry)] == ["other", "other"]

    notifications.remove_destination(registry, "other", AUTHOR)
    assert registry.store._rows("SELECT * FROM event") == []  # type: ignore[attr-defined]


def test_what_is_dead_is_sent_again_one_or_all(registry: Registry) -> None:
    tell(registry, "ops")
    for weight in (1.0, 2.0):
        publish(registry, "sum", linear_model(weight))
    for one in deliveries(registry):
        kill(registry, one)
    first, *rest = reversed(deliveries(registry, DeliveryState.DEAD))

    again = notifications.send_again(registry, first.number, AUTHOR)
    assert (again.state, again.attempts) == (DeliveryState.PENDING, 0)
    assert again.event == first.event
    assert again.error == "it answered 500"
    record = newest(registry)
    assert (record.action, record.subject) == ("delivery.retry", f"{first.number} to ops")

    assert notifications.send_dead_again(registry, AUTHOR) == len(rest) == 3
    record = newest(registry)
    assert (record.action, record.subject, record.count) == ("delivery.retry", "all dead", 3)
    assert deliveries(registry, DeliveryState.DEAD) == []
    assert [one.event.id for one in deliveries(registry, DeliveryState.PENDING)] == [
        one.event.id for one in deliveries(registry)
    ]


def test_what_was_delivered_is_forgotten_in_time_and_what_was_not_never(
    registry: Registry,
) -> None:
    tell(registry, "ops")
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0))
    at = now()
    oldest, old, dead, pending = reversed(deliveries(registry))
    for one, days in ((oldest, 31), (old, 29)):
        done = replace(
            one, state=DeliveryState.DELIVERED, attempted=at - timedelta(days=days), attempts=1
        )
        registry.store.settle(done)
    kill(registry, dead)

    registry.store.forget_delivered(at - timedelta(days=30))

    kept = [old.number, dead.number, pending.number]
    assert [one.number for one in reversed(deliveries(registry))] == kept
    assert len(registry.store._rows("SELECT * FROM event")) == 3  # type: ignore[attr-defined]
