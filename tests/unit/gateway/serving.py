"""The parts of a worker, put together without a server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from gateway.loader import Loader
from gateway.runtime import Runner, Watchdog
from registry.registry import Registry
from registry.session import open_session, read_signature


@contextmanager
def make_loader(
    registry: Registry, kind: type[Loader] = Loader, deadline_s: float = 5
) -> Iterator[Loader]:
    watchdog = Watchdog(deadline_s)
    with ThreadPoolExecutor(2) as executor:
        yield kind(
            worker="worker-test",
            registry=registry,
            watchdog=watchdog,
            executor=executor,
            poll_s=0.01,
        )
    watchdog.close()


def make_runner(artifact: bytes, watchdog: Watchdog, executor: ThreadPoolExecutor) -> Runner:
    return Runner(
        model="m",
        version=1,
        artifact=artifact,
        signature=read_signature(open_session(artifact)),
        watchdog=watchdog,
        executor=executor,
    )
