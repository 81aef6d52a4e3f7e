"""Whoever is to know is told also where the controller is killed while it tells them."""

import os
import signal
from pathlib import Path

import pytest

from gateway.notifications.destinations import NewDestination, open_destination
from gateway.notifications.secrets import Secrets
from registry.events import DeliveryState
from registry.registry import Registry
from tests.builders import AUTHOR, linear_model, publish, serving
from tests.crash.processes import children, wait_for_end
from tests.receiver import Receiver, Reply


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.torture)])
def test_a_controller_that_is_killed_between_sending_and_marking_tells_again_with_the_same_id(
    tmp_path: Path, registry: Registry, times: int
) -> None:
    receiver = Receiver()
    wanted = NewDestination(name="ops", url=receiver.url)
    open_destination(registry, Secrets(tmp_path / "destinations"), wanted, AUTHOR)

    with serving(tmp_path) as gateway:

        def kill() -> None:
            [controller] = children(gateway, "gateway.controller")
            os.kill(controller, signal.SIGKILL)
            wait_for_end([controller], 60)

        receiver.replies = [Reply(before=kill)] * times
        publish(registry, "sum", linear_model())
        for count in range(1, times + 3):
            receiver.wait_for(count)

    ids = [one.id for one in receiver.received]
    events = [one.event.id for one in registry.store.deliveries(None, before=None, limit=9)[::-1]]
    assert ids == [events[0]] * (times + 1) + [events[1]]
    assert len(registry.store.deliveries(DeliveryState.DELIVERED, before=None, limit=9)) >= 1
    receiver.close()
