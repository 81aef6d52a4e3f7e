import asyncio

import pytest

from gateway.errors import NotFollowed
from gateway.following import followed
from registry.registry import Registry
from registry.store import Store
from registry.workers import WorkerStatus
from tests.builders import linear_model, publish


def report(store: Store, worker: str, generation: int, failures: dict[str, str]) -> None:
    status = WorkerStatus(worker=worker, pid=len(worker), generation=generation, failures=failures)
    store.report_worker(status)


def test_it_waits_for_the_last_worker_and_tells_what_none_could_load(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    store = registry.store
    wanted = store.generation()
    report(store, "a", wanted, {"m/1": "damaged"})
    report(store, "bb", wanted - 1, {})

    async def scenario() -> None:
        waiting = asyncio.create_task(followed(store, deadline_s=30))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        report(store, "bb", wanted, {"n/2": "missing"})
        assert await waiting == {"m/1": "damaged", "n/2": "missing"}

    asyncio.run(scenario())


def test_a_worker_that_ended_is_not_waited_for(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    report(registry.store, "bb", 0, {})

    async def scenario() -> None:
        waiting = asyncio.create_task(followed(registry.store, deadline_s=30))
        registry.store.forget_worker(2)
        assert await waiting == {}

    asyncio.run(scenario())


def test_a_worker_that_does_not_follow_is_told(registry: Registry) -> None:
    publish(registry, "linear", linear_model())
    report(registry.store, "a", registry.store.generation(), {})
    report(registry.store, "bb", 0, {})

    with pytest.raises(NotFollowed, match=r"1 of the workers did not follow within 0\.1 s"):
        asyncio.run(followed(registry.store, deadline_s=0.1))
