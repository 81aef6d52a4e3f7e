"""The controller has everything delivered that is due, and holds nothing where nothing is."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.notifications import dispatch
from gateway.notifications.destinations import close_destination
from gateway.notifications.dispatch import Dispatcher, source_of
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.errors import StoreUnavailable
from registry.events import DeliveryState
from registry.registry import Registry
from registry.times import now
from tests.builders import AUTHOR
from tests.receiver import HANG, Receiver
from tests.unit.gateway.telling import Teller

IMPORTED = """
import sys
from pathlib import Path
import gateway.controller
from gateway.notifications.dispatch import Dispatcher
from gateway.notifications.secrets import Secrets
from registry.store import open_store
store = open_store(Path(sys.argv[1]))
dispatcher = Dispatcher(store, Secrets(Path(sys.argv[1])))
dispatcher.look()
dispatcher.close()
print(sorted({"httpx", "numpy", "onnxruntime"} & sys.modules.keys()))
"""


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    receivers = [Receiver(), Receiver()]
    yield receivers
    for one in receivers:
        one.close()


@pytest.fixture
def teller(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teller]:
    monkeypatch.setattr(dispatch, "_LOOK_S", 0.0)
    teller = Teller(registry, tmp_path)
    yield teller
    teller.close()


@pytest.fixture
def dispatcher(teller: Teller) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(teller.store, teller.secrets)
    yield dispatcher
    dispatcher.close()


def test_nothing_that_sends_is_imported_before_there_is_something_to_send(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORTED, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert found.stdout == "[]\n"


def test_what_is_due_is_delivered_to_each_by_a_thread_of_its_own(
    teller: Teller, dispatcher: Dispatcher, receivers: list[Receiver]
) -> None:
    for number, receiver in enumerate(receivers):
        teller.open(f"ops-{number}", receiver.url)
    event = teller.announce()
    dispatcher.look()

    for receiver in receivers:
        assert [one.id for one in receiver.wait_for(1)] == [event.id]
    couriers = [one for one in threading.enumerate() if one.name == "courier"]
    assert len(couriers) == 2


def test_a_receiver_that_hangs_delays_nobody_else(
    teller: Teller,
    dispatcher: Dispatcher,
    receivers: list[Receiver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "_CLOSING_S", 0.01)
    slow, fast = receivers
    slow.replies = [HANG]
    teller.open("a-slow", slow.url)
    teller.open("b-fast", fast.url)
    for count in range(1, 4):
        teller.announce()
        dispatcher.look()
        fast.wait_for(count)

    assert len(slow.received) == 1  # one at a time


def test_what_was_delivered_long_ago_is_forgotten(
    teller: Teller, receivers: list[Receiver]
) -> None:
    teller.open("ops", receivers[0].url)
    teller.announce()
    teller.deliver()
    for days, left in ((29, 1), (2, 0)):
        teller.clock.advance(days * 86_400)
        dispatcher = Dispatcher(teller.store, teller.secrets, teller.clock)
        dispatcher.look()
        assert len(teller.deliveries()) == left


def test_the_courier_of_a_destination_that_is_no_more_goes(
    teller: Teller, receivers: list[Receiver]
) -> None:
    for number, receiver in enumerate(receivers):
        teller.open(f"ops-{number}", receiver.url)
    teller.announce()
    dispatcher = Dispatcher(teller.store, teller.secrets)
    dispatcher.look()
    for receiver in receivers:
        receiver.wait_for(1)
    gone, stays = dispatcher._couriers["ops-0"], dispatcher._couriers["ops-1"]
    close_destination(teller.registry, teller.secrets, "ops-0", AUTHOR)

    dispatcher._forget_at = 0.0
    dispatcher.look()

    gone.join(60)
    assert not gone._thread.is_alive()
    assert dispatcher._couriers == {"ops-1": stays}
    dispatcher.close()


def test_a_store_that_cannot_answer_is_asked_again(
    teller: Teller,
    dispatcher: Dispatcher,
    receivers: list[Receiver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teller.open("ops", receivers[0].url)
    teller.announce()

    def fail(_: object) -> list[str]:
        raise StoreUnavailable("busy")

    with monkeypatch.context() as patch:
        patch.setattr(teller.store, "waiting_destinations", fail)
        dispatcher.look()
    dispatcher.look()

    receivers[0].wait_for(1)


def test_a_courier_goes_on_after_what_nobody_foresaw(
    teller: Teller,
    dispatcher: Dispatcher,
    receivers: list[Receiver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teller.open("ops", receivers[0].url)
    teller.announce()
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(teller.store, "next_delivery", fail)
        dispatcher.look()
        assert failed.wait(60)
    dispatcher.look()

    receivers[0].wait_for(1)


def test_a_gateway_is_named_by_its_log(registry: Registry, tmp_path: Path) -> None:
    assert source_of(registry.store) == "gateway"
    keys = KeyFile(tmp_path / "log.key")
    open_log(registry.store, keys, tmp_path / "checkpoint", name="log.example/é", at=now())
    assert source_of(registry.store) == "log.example/%C3%A9"


def test_nothing_is_sent_after_the_end(
    teller: Teller, dispatcher: Dispatcher, receivers: list[Receiver]
) -> None:
    teller.open("ops", receivers[0].url)
    teller.announce()
    dispatcher.look()
    receivers[0].wait_for(1)
    dispatcher.close()
    teller.announce()
    dispatcher.look()

    assert len(teller.deliveries(DeliveryState.PENDING)) == 1
