"""Whom to tell of events, and what to send again: verbs on destinations and deliveries.

Each is one transaction that contains its audit record. How a message is sent is the gateway's.
"""

from datetime import datetime

from registry.errors import (
    DeliveryNotFound,
    DestinationExists,
    DestinationNotFound,
    InvalidRequest,
    ModelNotFound,
)
from registry.events import ANNOUNCED, Delivery, DeliveryState, Destination
from registry.names import check_destination_name
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.registry import Registry
from registry.store import Store
from registry.times import now

_AT_ONCE = 1_000  # deliveries
_CONTROLLER = Author(principal="controller")


def add_destination(registry: Registry, destination: Destination, author: Author) -> None:
    """Have a destination told of what it wants from now on.

    Raises DestinationExists, ModelNotFound, and InvalidRequest for a name or type that is none.
    """
    check_destination_name(destination.name)
    if unknown := [kind for kind in destination.types if kind not in ANNOUNCED]:
        raise InvalidRequest("types", f"Nobody can ask to be told of {unknown[0]!r}.")
    with registry.store.write() as tx:
        known = tx.models()
        for model in destination.models:
            if model not in known:
                raise ModelNotFound(model)
        if any(one.name == destination.name for one in tx.destinations()):
            raise DestinationExists(destination.name)
        tx.add_destination(destination)
        append_record(
            tx, "destination.add", author, destination.created,
            subject=destination.name, reason=_describe(destination),
        )  # fmt: skip


def remove_destination(registry: Registry, name: str, author: Author) -> Destination:
    """Tell a destination nothing more, not even what waits for it. Raises DestinationNotFound."""
    with registry.store.write() as tx:
        removed = find_destination(tx, name)
        tx.remove_destination(name)
        append_record(tx, "destination.remove", author, now(), subject=name)
    return removed


def pause_destination(store: Store, name: str, at: datetime, reason: str) -> None:
    """Let nothing be sent to a destination that asked for that; the controller's to call."""
    with store.write() as tx:
        tx.pause_destination(name, at)
        append_record(tx, "destination.pause", _CONTROLLER, at, subject=name, reason=reason)


def resume_destination(registry: Registry, name: str, author: Author) -> Destination:
    """Send a destination all that waits for it, at once and in order. Raises DestinationNotFound.

    One that is not paused is resumed too: what it has failed to take is tried at once.
    """
    with registry.store.write() as tx:
        find_destination(tx, name)
        at = now()
        tx.resume_destination(name, at)
        append_record(tx, "destination.resume", author, at, subject=name)
        return find_destination(tx, name)


def send_again(registry: Registry, number: int, author: Author) -> Delivery:
    """Let one delivery begin anew, whatever became of it. Raises DeliveryNotFound."""
    with registry.store.write() as tx:
        delivery = tx.delivery(number)
        if delivery is None:
            raise DeliveryNotFound(number)
        at = now()
        tx.send_again(number, at)
        subject = f"{number} to {delivery.destination}"
        append_record(tx, "delivery.retry", author, at, subject=subject)
        return tx.delivery(number) or delivery


def send_dead_again(registry: Registry, author: Author) -> int:
    """Let all dead deliveries begin anew, and return how many there were."""
    with registry.store.write() as tx:
        at, count = now(), 0
        while dead := tx.deliveries(DeliveryState.DEAD, before=None, limit=_AT_ONCE):
            for delivery in dead:
                tx.send_again(delivery.number, at)
            count += len(dead)
        if count:
            append_record(tx, "delivery.retry", author, at, subject="all dead", count=count)
    return count


def find_destination(view: Reader, name: str) -> Destination:
    """Return the destination of a name. Raises DestinationNotFound."""
    for one in view.destinations():
        if one.name == name:
            return one
    raise DestinationNotFound(name)


def _describe(destination: Destination) -> str:
    models = ", ".join(destination.models) or "all"
    types = ", ".join(destination.types) or "all"
    return f"{destination.form} to {destination.url}; models: {models}; types: {types}"
