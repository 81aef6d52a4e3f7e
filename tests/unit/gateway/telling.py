"""A registry with destinations, a clock that is set, and couriers that work when they are told."""

from datetime import datetime, timedelta
from pathlib import Path

from gateway.notifications.courier import Courier
from gateway.notifications.destinations import NewDestination, open_destination
from gateway.notifications.secrets import Secrets
from gateway.notifications.sending import Sender
from registry.announcing import announce, make_event
from registry.events import Delivery, DeliveryState, Event, EventType, Form
from registry.recording import append_record
from registry.registry import Registry
from registry.times import now
from tests.builders import AUTHOR

SOURCE = "log.example/gateway"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at = now()

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Teller:
    """Announces events, and delivers them as the controller would at the time of the clock."""

    def __init__(self, registry: Registry, folder: Path, deadline_s: float = 60.0) -> None:
        self.registry = registry
        self.store = registry.store
        self.clock = Clock()
        self.secrets = Secrets(folder / "destinations")
        self.sender = Sender(self.secrets, SOURCE, deadline_s)
        self._couriers: dict[str, Courier] = {}

    def open(self, name: str, url: str, form: Form = Form.STANDARD) -> str | None:
        wanted = NewDestination(name=name, url=url, form=form)
        _, key = open_destination(self.registry, self.secrets, wanted, AUTHOR)
        return key

    def announce(self, summary: str = "Something happened.") -> Event:
        with self.store.write() as tx:
            record = append_record(tx, "test", AUTHOR, self.clock())
            event = make_event(record, EventType.CHAMPION_MOVED, summary)
            announce(tx, event)
        return event

    def courier(self, name: str = "ops") -> Courier:
        if name not in self._couriers:
            self._couriers[name] = Courier(name, self.store, self.sender, self.clock, lambda: 0.0)
        return self._couriers[name]

    def deliver(self, name: str = "ops") -> None:
        while self.courier(name).deliver_next():
            pass

    def restart(self) -> None:
        """Forget all that is in memory, as a new controller does."""
        self._couriers.clear()

    def deliveries(self, state: DeliveryState | None = None) -> list[Delivery]:
        """Return deliveries, oldest first."""
        return self.store.deliveries(state, before=None, limit=1000)[::-1]

    def states(self) -> list[str]:
        return [one.state.value for one in self.deliveries()]

    def close(self) -> None:
        self.sender.close()
