"""Wakes who has something to tell; the controller calls it in its rounds.

Nothing that sends is imported, and no thread runs, before there is something to send.
"""

import importlib
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.logs import logger
from gateway.notifications.courier import Courier, CourierThread
from gateway.notifications.secrets import Secrets
from registry.errors import RegistryError
from registry.reader import Reader
from registry.registry import Clock
from registry.store import Store
from registry.times import now

if TYPE_CHECKING:
    from gateway.notifications.sending import Sender

_LOOK_S = 0.5
_FORGET_S = 3_600.0
_KEPT = timedelta(days=30)
_CLOSING_S = 5.0


class Dispatcher:
    """Has everything delivered that is due, each destination by a thread of its own."""

    def __init__(self, store: Store, secrets: Secrets, clock: Clock = now) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._couriers: dict[str, CourierThread] = {}
        self._sender: Sender | None = None
        self._look_at = self._forget_at = time.monotonic()

    def look(self) -> None:
        """Wake the couriers that have something due; ask the store twice a second at most."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_S
        try:
            for name in self._store.waiting_destinations(self._clock()):
                self._courier(name).wake()
            self._forget()
        except RegistryError as error:
            logger.error("deliveries_not_found", detail=str(error))

    def close(self) -> None:
        """Send nothing more; what is under way is waited for a little."""
        for courier in self._couriers.values():
            courier.close()
        deadline = time.monotonic() + _CLOSING_S
        for courier in self._couriers.values():
            courier.join(max(0.0, deadline - time.monotonic()))

    def _courier(self, name: str) -> CourierThread:
        if name not in self._couriers:
            courier = Courier(
                name,
                self._store,
                self._open_sender(),
                self._clock,
                random.random,
            )
            self._couriers[name] = CourierThread(courier)
        return self._couriers[name]

    def _open_sender(self) -> "Sender":
        """Import what sends where there is something to send: an HTTP client is not small."""
        if self._sender is None:
            sending = importlib.import_module("gateway.notifications.sending")
            self._sender = sending.Sender(self._secrets, source_of(self._store))
        return self._sender

    def _forget(self) -> None:
        if time.monotonic() >= self._forget_at:
            self._store.forget_delivered(self._clock() - _KEPT)
            self._dismiss()
            self._forget_at = time.monotonic() + _FORGET_S

    def _dismiss(self) -> None:
        """Let the couriers go of destinations that are no more; what is under way is finished."""
        present = {one.name for one in self._store.destinations()}
        for name in self._couriers.keys() - present:
            self._couriers.pop(name).close()


def source_of(view: Reader) -> str:
    """Name this gateway as a URI reference: by its log, where the records of events can be proved.

    A log that was never signed has no name yet.
    """
    origins = view.origins()
    return quote(origins[-1].name, safe="/:@!$&'()*,;=") if origins else "gateway"
