"""People are told of what changes what is live, in the transaction of the change."""

from datetime import timedelta

import pytest

from registry import service
from registry.announcing import announce, make_event
from registry.entry import decode_record
from registry.events import Destination, Event, EventType, Form
from registry.notifications import add_destination
from registry.recording import append_record
from registry.records import RecordFilter
from registry.registry import Registry
from registry.times import now
from tests.builders import AUTHOR, linear_model, publish


def tell(registry: Registry, name: str, *types: EventType, models: tuple[str, ...] = ()) -> None:
    destination = Destination(
        name=name,
        url="https://receiver.example/",
        form=Form.STANDARD,
        secret="0",
        models=models,
        types=types,
        author=AUTHOR.principal,
        created=now(),
    )
    add_destination(registry, destination, AUTHOR)


def told(registry: Registry, destination: str) -> list[Event]:
    """Return what a destination is told of, in its order."""
    found = registry.store.deliveries(None, before=None, limit=100)
    return [one.event for one in reversed(found) if one.destination == destination]


def test_each_change_of_what_is_live_is_told_with_its_record(registry: Registry) -> None:
    tell(registry, "ops")
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0))
    registry.roll_back("sum", "it misbehaves", AUTHOR)
    registry.retire("sum", 2, "it misbehaved", AUTHOR)

    events = told(registry, "ops")

    assert [(event.type, event.version) for event in events] == [
        ("version.published", 1), ("champion.moved", 1),
        ("version.published", 2), ("champion.moved", 2),
        ("champion.moved", 1), ("version.retired", 2),
    ]  # fmt: skip
    for event in events:
        found = registry.store.record(event.record_id)
        assert found is not None
        record = decode_record(found[1])
        assert (record.model, record.version) == (event.model, event.version)
        assert abs(int(record.time) / 1e9 - event.time.timestamp()) < 1e-3
    assert "it misbehaves" in events[4].summary
    assert AUTHOR.principal in events[4].summary


def test_the_call_that_a_message_carries_undoes_what_it_tells_of(registry: Registry) -> None:
    tell(registry, "ops", EventType.CHAMPION_MOVED)
    for weight in (1.0, 2.0, 3.0):
        publish(registry, "sum", linear_model(weight))

    undo = told(registry, "ops")[-1].rollback
    assert undo is not None
    assert (undo.method, undo.path) == ("POST", "/admin/models/sum/rollback")
    registry.roll_back("sum", undo.body["reason"], AUTHOR, undo.body["version"])
    assert registry.store.aliases("sum") == {"champion": 2}

    undo = told(registry, "ops")[-1].rollback
    assert undo is not None
    assert (undo.method, undo.path) == ("POST", "/admin/models/sum/promotions")
    registry.promote("sum", undo.body["version"], undo.body["reason"], AUTHOR)
    assert registry.store.aliases("sum") == {"champion": 3}


def test_a_first_champion_is_undone_by_taking_the_model_out_of_service(
    registry: Registry,
) -> None:
    tell(registry, "ops", EventType.CHAMPION_MOVED)
    publish(registry, "sum", linear_model())

    [event] = told(registry, "ops")
    assert event.rollback is not None
    assert event.rollback.path == "/v2/repository/models/sum/unload"
    assert event.record_id in event.rollback.body["parameters"]["reason"]


def test_a_model_out_of_service_and_back_is_told_with_the_call_for_the_other(
    registry: Registry,
) -> None:
    publish(registry, "sum", linear_model())
    tell(registry, "ops")
    service.unload(registry, "sum", AUTHOR, "it misbehaves")
    service.unload(registry, "sum", AUTHOR, "it is so already")
    service.load(registry, "sum", AUTHOR)

    events = told(registry, "ops")
    assert [event.type for event in events] == ["model.unloaded", "model.loaded"]
    assert [event.rollback.path for event in events if event.rollback] == [
        "/v2/repository/models/sum/load", "/v2/repository/models/sum/unload",
    ]  # fmt: skip
    assert "it misbehaves" in events[0].summary


def test_a_destination_is_told_of_its_models_and_types_alone(registry: Registry) -> None:
    for model in ("sum", "other"):
        publish(registry, model, linear_model())
    tell(registry, "sums", models=("sum",))
    tell(registry, "moves", EventType.CHAMPION_MOVED)
    for model in ("sum", "other"):
        publish(registry, model, linear_model(2.0))

    assert {event.model for event in told(registry, "sums")} == {"sum"}
    assert len(told(registry, "sums")) == 2
    assert [(e.type, e.model) for e in told(registry, "moves")] == [
        ("champion.moved", "sum"), ("champion.moved", "other"),
    ]  # fmt: skip


def test_an_alias_of_the_users_own_is_no_news(registry: Registry) -> None:
    publish(registry, "sum", linear_model())
    tell(registry, "ops")
    registry.point_alias("sum", "blue", 1, "for a test", AUTHOR)
    registry.remove_alias("sum", "blue", "for a test", AUTHOR)

    assert told(registry, "ops") == []


def test_where_nobody_is_told_nothing_is_kept(registry: Registry) -> None:
    publish(registry, "sum", linear_model())

    assert registry.store.deliveries(None, before=None, limit=100) == []
    assert registry.store._rows("SELECT * FROM event") == []  # type: ignore[attr-defined]


def test_what_is_undone_is_not_told(registry: Registry) -> None:
    tell(registry, "ops")
    with pytest.raises(ZeroDivisionError), registry.store.write() as tx:
        record = append_record(tx, "test", AUTHOR, now())
        announce(tx, make_event(record, EventType.TEST, "Something."))
        raise ZeroDivisionError

    assert told(registry, "ops") == []


def test_an_event_has_the_moment_of_its_record_and_an_id_of_its_own(registry: Registry) -> None:
    at = now() - timedelta(days=3)
    with registry.store.write() as tx:
        record = append_record(tx, "test", AUTHOR, at)
    first, second = (make_event(record, EventType.TEST, "Something.") for _ in range(2))

    assert first.time == second.time == at
    assert first.id != second.id
    assert first.id[:13] == record.id[:13]  # the milliseconds of a UUIDv7


def test_every_change_leaves_a_record_also_where_somebody_is_told(registry: Registry) -> None:
    before = registry.store.tree_size()
    tell(registry, "ops")
    publish(registry, "sum", linear_model())

    records = registry.store.records(RecordFilter(), before=None, limit=100)
    assert len(records) == before + 3
