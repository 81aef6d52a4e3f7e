"""A version that a worker cannot load is recorded and told once, for as long as that lasts."""

from pathlib import Path

import pytest

from gateway.notifications.failures import FailedLoads
from registry.entry import decode_record
from registry.records import AuditRecord, RecordFilter
from registry.registry import Registry
from registry.workers import WorkerStatus
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.gateway.telling import Teller


@pytest.fixture
def teller(registry: Registry, tmp_path: Path) -> Teller:
    teller = Teller(registry, tmp_path)
    for weight in (1.0, 2.0):
        publish(registry, "sum", linear_model(weight))
    teller.open("ops", "https://receiver.example/")
    return teller


def worker(name: str, **failures: str) -> WorkerStatus:
    return WorkerStatus(
        worker=name,
        pid=1,
        generation=1,
        failures={key.replace("_", "/"): why for key, why in failures.items()},
    )


def newest(registry: Registry) -> AuditRecord:
    _, leaf = max(registry.store.records(RecordFilter(), before=None, limit=1000))
    return decode_record(leaf)


def test_a_failure_is_told_once_however_many_workers_have_it(teller: Teller) -> None:
    watch = FailedLoads(teller.store, teller.clock)
    for _ in range(3):
        watch.look([worker("a", sum_2="damaged"), worker("b", sum_2="damaged"), worker("c")])

    [one] = teller.deliveries()
    event = one.event
    assert (event.type, event.model, event.version) == ("version.not_loaded", "sum", 2)
    assert "damaged" in event.summary
    record = newest(teller.registry)
    assert (record.id, record.outcome, record.principal) == (
        event.record_id,
        "failed",
        "controller",
    )
    assert (record.action, record.reason) == ("version.load", "damaged")
    assert record.digest == teller.registry.version("sum", 2).artifact


def test_one_that_comes_back_is_told_anew(teller: Teller) -> None:
    watch = FailedLoads(teller.store, teller.clock)
    for workers in ([worker("a", sum_2="no")], [worker("a")], [worker("a", sum_2="no")]):
        watch.look(workers)

    assert len(teller.deliveries()) == 2


def test_a_champion_that_fails_comes_with_the_call_that_puts_the_one_before_back(
    teller: Teller,
) -> None:
    watch = FailedLoads(teller.store, teller.clock)
    watch.look([worker("a", sum_1="no", sum_2="no")])

    other, champion = (one.event for one in teller.deliveries())
    assert (other.version, other.rollback) == (1, None)
    assert champion.rollback is not None
    call = champion.rollback
    teller.registry.roll_back("sum", call.body["reason"], AUTHOR, call.body["version"])
    assert teller.registry.store.aliases("sum") == {"champion": 1}


def test_a_first_champion_that_fails_has_nothing_to_go_back_to(teller: Teller) -> None:
    publish(teller.registry, "new", linear_model())
    FailedLoads(teller.store, teller.clock).look([worker("a", new_1="no")])

    assert teller.deliveries()[-1].event.rollback is None
