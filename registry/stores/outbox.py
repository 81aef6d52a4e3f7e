"""Destinations, events and deliveries in SQL; the order of columns is that of `schema.sql`.

Each function is given `ask`, which runs one statement in the transaction that is open.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from registry.events import (
    Delivery,
    DeliveryCount,
    DeliveryState,
    Destination,
    Event,
    EventType,
    Form,
)
from registry.stores.rows import Row
from registry.times import from_us, to_us

Ask = Callable[..., Sequence[Row]]

_DELIVERY = """
    SELECT number, destination, content, state, attempts, due, attempted, status, error
    FROM delivery JOIN event ON event.id = delivery.event
"""
_NEXT = f"""
    {_DELIVERY} JOIN destination ON destination.name = delivery.destination
    WHERE state = 'pending' AND destination = ? AND due <= ? AND paused IS NULL
    ORDER BY number LIMIT 1
"""
_WAITING = """
    SELECT DISTINCT destination FROM delivery
    JOIN destination ON destination.name = delivery.destination
    WHERE state = 'pending' AND due <= ? AND paused IS NULL
"""
_ADD = "INSERT INTO delivery (destination, event, state, attempts, due) VALUES (?, ?, ?, 0, ?)"
_SETTLE = """
    UPDATE delivery SET state = ?, attempts = ?, due = ?, attempted = ?, status = ?, error = ?
    WHERE number = ?
"""
_HASTEN = """
    UPDATE delivery SET due = ? WHERE state = 'pending' AND destination = ? AND due > ?
    AND (status IS NULL OR status = 429 OR status >= 500)
"""
_AGAIN = "UPDATE delivery SET state = 'pending', attempts = 0, due = ? WHERE number = ?"
_RESUME = "UPDATE delivery SET due = min(due, ?) WHERE state = 'pending' AND destination = ?"
_FORGET = "DELETE FROM delivery WHERE state = 'delivered' AND attempted < ?"
_FORGET_EVENTS = "DELETE FROM event WHERE id NOT IN (SELECT event FROM delivery)"

_decode_event = msgspec.json.Decoder(Event).decode


def destinations(ask: Ask) -> list[Destination]:
    """Return all destinations by name."""
    return [_to_destination(row) for row in ask("SELECT * FROM destination ORDER BY name")]


def add_destination(ask: Ask, one: Destination) -> None:
    """Keep a new destination."""
    row = (
        one.name,
        one.url,
        one.form.value,
        one.secret,
        msgspec.json.encode(one.models).decode(),
        msgspec.json.encode(one.types).decode(),
        one.author,
        to_us(one.created),
        None if one.paused is None else to_us(one.paused),
    )
    ask("INSERT INTO destination VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def remove_destination(ask: Ask, name: str) -> None:
    """Forget a destination and all deliveries to it."""
    ask("DELETE FROM delivery WHERE destination = ?", (name,))
    ask("DELETE FROM destination WHERE name = ?", (name,))
    ask(_FORGET_EVENTS)


def pause_destination(ask: Ask, name: str, at: datetime) -> None:
    """Let nothing more be sent to a destination."""
    ask("UPDATE destination SET paused = ? WHERE name = ?", (to_us(at), name))


def resume_destination(ask: Ask, name: str, at: datetime) -> None:
    """Let all that waits for a destination be sent now."""
    ask("UPDATE destination SET paused = NULL WHERE name = ?", (name,))
    ask(_RESUME, (to_us(at), name))


def add_event(ask: Ask, event: Event, told: Sequence[str]) -> None:
    """Keep an event, and a delivery that is due at once for each destination."""
    ask("INSERT INTO event VALUES (?, ?)", (event.id, msgspec.json.encode(event).decode()))
    for name in told:
        ask(_ADD, (name, event.id, DeliveryState.PENDING.value, to_us(event.time)))


def deliveries(
    ask: Ask, state: DeliveryState | None, before: int | None, limit: int
) -> list[Delivery]:
    """Return deliveries, newest first, with numbers below `before`."""
    where = "WHERE (? IS NULL OR state = ?) AND (? IS NULL OR number < ?)"
    query = f"{_DELIVERY} {where} ORDER BY number DESC LIMIT ?"
    return [_to_delivery(row) for row in ask(query, (state, state, before, before, limit))]


def delivery(ask: Ask, number: int) -> Delivery | None:
    """Return one delivery, or None."""
    found = ask(f"{_DELIVERY} WHERE number = ?", (number,))
    return _to_delivery(found[0]) if found else None


def next_delivery(ask: Ask, name: str, at: datetime) -> Delivery | None:
    """Return the oldest delivery to a destination that is due, or None."""
    found = ask(_NEXT, (name, to_us(at)))
    return _to_delivery(found[0]) if found else None


def waiting(ask: Ask, at: datetime) -> list[str]:
    """Name the destinations that have something due."""
    return [name for (name,) in ask(_WAITING, (to_us(at),))]


def counts(ask: Ask) -> list[DeliveryCount]:
    """Count the deliveries by destination and state."""
    query = "SELECT destination, state, count(*) FROM delivery GROUP BY state, destination"
    return [
        DeliveryCount(destination=name, state=DeliveryState(state), count=count)
        for name, state, count in ask(query)
    ]


def settle(ask: Ask, one: Delivery) -> None:
    """Keep what became of an attempt; nothing happens where the delivery is gone."""
    attempted = None if one.attempted is None else to_us(one.attempted)
    ask(
        _SETTLE,
        (one.state.value, one.attempts, to_us(one.due), attempted, one.status, one.error,
         one.number),
    )  # fmt: skip


def hasten(ask: Ask, name: str, at: datetime) -> None:
    """Let all that a destination did not itself refuse be due now."""
    ask(_HASTEN, (to_us(at), name, to_us(at)))


def send_again(ask: Ask, number: int, at: datetime) -> None:
    """Let a delivery begin anew."""
    ask(_AGAIN, (to_us(at), number))


def forget_delivered(ask: Ask, before: datetime) -> None:
    """Forget what was delivered before a time."""
    ask(_FORGET, (to_us(before),))
    ask(_FORGET_EVENTS)


def _to_destination(row: Row) -> Destination:
    name, url, form, secret, models, types, author, created, paused = row
    return Destination(
        name=name,
        url=url,
        form=Form(form),
        secret=secret,
        models=msgspec.json.decode(models, type=tuple[str, ...]),
        types=msgspec.json.decode(types, type=tuple[EventType, ...]),
        author=author,
        created=from_us(created),
        paused=None if paused is None else from_us(paused),
    )


def _to_delivery(row: Row) -> Delivery:
    number, name, content, state, attempts, due, attempted, status, error = row
    return Delivery(
        number=number,
        destination=name,
        event=_decode_event(content),
        state=DeliveryState(state),
        attempts=attempts,
        due=from_us(due),
        attempted=None if attempted is None else from_us(attempted),
        status=status,
        error=error,
    )
