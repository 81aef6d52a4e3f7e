"""Rules that only flag for now are recorded and told once, and so is that they reject again."""

from pathlib import Path

import pytest

from gateway.notifications.suspensions import Share, Suspensions
from registry.entry import decode_record
from registry.recording import Author
from registry.records import AuditRecord, Kind, RecordFilter
from registry.registry import Registry
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.gateway.telling import Teller

CONTROLLER = Author(principal="controller")
CHAMPION, BEFORE = ("sum", 2), ("sum", 1)
MUCH = Share(30, 200)


@pytest.fixture
def teller(registry: Registry, tmp_path: Path) -> Teller:
    teller = Teller(registry, tmp_path)
    for weight in (1.0, 2.0):
        publish(registry, "sum", linear_model(weight))
    teller.open("ops", "https://receiver.example/")
    return teller


def recorded(teller: Teller) -> list[AuditRecord]:
    """Return what was recorded by the controller, in the order of the log."""
    found = teller.store.records(RecordFilter(kind=Kind.ADMIN), before=None, limit=1000)
    records = [decode_record(leaf) for _, leaf in sorted(found)]
    return [one for one in records if one.principal == "controller"]


def test_a_suspension_is_told_once_and_its_end_once(teller: Teller) -> None:
    watch = Suspensions(teller.registry, CONTROLLER, teller.clock)
    for suspended in ({}, {CHAMPION: MUCH}, {CHAMPION: Share(31, 201)}, {}, {}):
        watch.look(suspended)

    begun, ended = (one.event for one in teller.deliveries())
    assert (begun.type, begun.model, begun.version) == ("contract.suspended", "sum", 2)
    assert "30 of 200 requests would be refused" in begun.summary
    assert (ended.type, ended.model, ended.version) == ("contract.resumed", "sum", 2)
    actions = [(one.id, one.action) for one in recorded(teller)]
    assert actions == [
        (begun.record_id, "contract.suspend"),
        (ended.record_id, "contract.resume"),
    ]


def test_one_that_is_suspended_again_is_told_anew(teller: Teller) -> None:
    watch = Suspensions(teller.registry, CONTROLLER, teller.clock)
    for suspended in ({CHAMPION: MUCH}, {}, {CHAMPION: MUCH}):
        watch.look(suspended)

    assert [one.action for one in recorded(teller)] == [
        "contract.suspend", "contract.resume", "contract.suspend",
    ]  # fmt: skip


def test_only_a_champions_comes_with_the_call_that_puts_the_one_before_back(
    teller: Teller,
) -> None:
    Suspensions(teller.registry, CONTROLLER, teller.clock).look({BEFORE: MUCH, CHAMPION: MUCH})

    before, champion = (one.event for one in teller.deliveries())
    assert (before.version, before.rollback) == (1, None)
    assert champion.rollback is not None
    call = champion.rollback
    teller.registry.roll_back("sum", call.body["reason"], AUTHOR, call.body["version"])
    assert teller.store.aliases("sum") == {"champion": 1}
