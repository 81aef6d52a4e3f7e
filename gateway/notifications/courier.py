"""Tells one destination what it is to know: one message at a time, the oldest that is due first.

At least once: what was sent and not yet settled when the process ended is sent again, under the
same id.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from gateway.logs import logger
from gateway.notifications.schedule import (
    Outcome,
    describe_failure,
    is_delivered,
    is_gone,
    is_outage,
    rest_s,
    settle,
)
from registry.errors import DestinationNotFound, RegistryError
from registry.events import Delivery, DeliveryState, Destination, Event
from registry.notifications import find_destination, pause_destination
from registry.registry import Clock
from registry.store import Store


class Sends(Protocol):
    """Posts one event, as `gateway.notifications.sending.Sender` does."""

    def send(self, destination: Destination, event: Event, at: datetime) -> Outcome: ...


class Courier:
    """Delivers to the destination of one name, in the calling thread.

    After an outage, what waited becomes due at once, in its order. `draw` gives random numbers in
    [0, 1).
    """

    def __init__(
        self, name: str, store: Store, sender: Sends, clock: Clock, draw: Callable[[], float]
    ) -> None:
        self._name = name
        self._store = store
        self._sender = sender
        self._clock = clock
        self._draw = draw
        self._rests_until: datetime | None = None
        self._is_known_well = False  # nothing failed since something was taken

    def deliver_next(self) -> bool:
        """Deliver the oldest message that is due, and say whether there may be more.

        Raises RegistryError; what was sent is sent again then.
        """
        at = self._clock()
        if self._rests_until is not None and at < self._rests_until:
            return False
        delivery = self._store.next_delivery(self._name, at)
        if delivery is None:
            return False
        try:
            destination = find_destination(self._store, self._name)
        except DestinationNotFound:  # removed meanwhile, and the delivery with it
            return False
        outcome = self._sender.send(destination, delivery.event, at)
        self._settle(delivery, outcome)
        return True

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        at = self._clock()
        settled = settle(delivery, outcome, at=at, draw=self._draw())
        self._store.settle(settled)
        self._note(settled, outcome)
        if is_gone(outcome):
            reason = describe_failure(outcome) or ""
            pause_destination(self._store, self._name, at, reason)
        self._rests_until = at + timedelta(seconds=rest_s(outcome, settled, at=at))
        if is_delivered(outcome) and not self._is_known_well:
            self._store.hasten(self._name, at)
        self._is_known_well = not is_outage(outcome)

    def _note(self, settled: Delivery, outcome: Outcome) -> None:
        what = {
            "destination": self._name,
            "delivery": settled.number,
            "attempts": settled.attempts,
            "detail": settled.error,
        }
        if settled.state is DeliveryState.DEAD:
            logger.error("delivery_dead", **what)
        elif not is_delivered(outcome):
            logger.warning("delivery_failed", **what)


class CourierThread:
    """A courier in a thread of its own, which works whenever it is woken."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have all delivered that is due."""
        self._woken.set()

    def close(self) -> None:
        """Send nothing more."""
        self._closed.set()
        self._woken.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the message under way is settled, or for so long."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._woken.wait()
            self._woken.clear()
            try:
                while not self._closed.is_set() and self._courier.deliver_next():
                    pass
            except RegistryError as error:
                logger.error("delivery_not_settled", detail=str(error))
            except Exception as error:  # noqa: BLE001 - the top of a loop that must not end
                logger.error("delivery_broken", exc_info=error)
