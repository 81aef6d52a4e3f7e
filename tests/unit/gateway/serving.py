"""The parts of a worker, put together without a server."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.loader import Loader
from gateway.runtime import Watchdog
from registry.registry import Registry


@contextmanager
def make_loader(
    registry: Registry, kind: type[Loader] = Loader, deadline_s: float = 5
) -> Iterator[Loader]:
    watchdog = Watchdog(deadline_s)
    yield kind(worker="worker-test", registry=registry, watchdog=watchdog, poll_s=0.01)
    watchdog.close()
