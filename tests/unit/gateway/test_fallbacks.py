"""What stands in for a champion of which a finding is open."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.drift.acting import Fallbacks
from gateway.loader import Loader
from registry import drift
from registry.drift import Fallback, fallbacks
from registry.drift_policy import DriftAction, DriftPolicy, FeatureDrift
from registry.entry import decode_record
from registry.events import EventType
from registry.records import Lane, RecordFilter
from registry.registry import Registry
from tests.builders import AUTHOR, identity_model, linear_model, publish
from tests.unit.gateway.serving import make_loader
from tests.unit.registry.test_announcing import tell
from tests.unit.registry.test_announcing import told as events
from tests.unit.registry.test_drift_policies import find

ROUTE = DriftPolicy(action=DriftAction.ROUTE_TO_FALLBACK)


@pytest.fixture
def loader(registry: Registry) -> Iterator[Loader]:
    """A loader over a registry whose model `sum` has had the champions 1 and 2."""
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0))
    drift.set_drift_policy(registry, "sum", ROUTE, AUTHOR)
    with make_loader(registry) as loader:
        yield loader


def settle(registry: Registry, loader: Loader) -> tuple[int, Lane]:
    """Let the controller see to it, and return what answers who names no version."""
    Fallbacks(registry).settle_all()
    asyncio.run(loader.load())
    served, lane = loader.roster.choose("sum", None)
    return served.number, lane


def actions(registry: Registry) -> list[str | None]:
    """Return what the controller did, oldest first."""
    found = registry.store.records(RecordFilter(principal="controller"), before=None, limit=100)
    return [decode_record(leaf).action for _, leaf in sorted(found)]


def test_the_champion_before_answers_while_a_finding_of_the_champion_is_open(
    registry: Registry, loader: Loader
) -> None:
    assert settle(registry, loader) == (2, Lane.CHAMPION)
    found = find(registry, version=2)
    assert settle(registry, loader) == (1, Lane.FALLBACK)
    assert loader.roster.choose("sum", "2")[1] is Lane.PINNED

    drift.close_finding(registry, "sum", found.id, "it is as it should be", AUTHOR)

    assert settle(registry, loader) == (2, Lane.CHAMPION)
    assert actions(registry) == ["fallback.begin", "fallback.end"]


def test_each_change_of_what_answers_is_recorded_once_with_its_cause(
    registry: Registry, loader: Loader
) -> None:
    tell(registry, "ops", EventType.FALLBACK_BEGUN, EventType.FALLBACK_ENDED)
    found = find(registry, version=2)
    for _ in range(3):
        settle(registry, loader)
    [begun] = events(registry, "ops")

    wanted = RecordFilter(principal="controller")
    [(_, leaf)] = registry.store.records(wanted, before=None, limit=10)
    record = decode_record(leaf)

    assert (record.model, record.version, record.previous) == ("sum", 1, 2)
    assert found.id in (record.reason or "")
    assert (begun.type, begun.version, begun.data["champion"]) == ("fallback.begun", 1, 2)
    assert begun.record_id == record.id


def test_a_finding_of_another_version_or_for_which_less_is_done_changes_nothing(
    registry: Registry, loader: Loader
) -> None:
    find(registry, version=1)
    assert settle(registry, loader) == (2, Lane.CHAMPION)
    policy = DriftPolicy(
        action=DriftAction.ROUTE_TO_FALLBACK,
        features={"x": FeatureDrift(action=DriftAction.HOLD_PROMOTION)},
    )
    drift.set_drift_policy(registry, "sum", policy, AUTHOR)
    find(registry, version=2)
    assert settle(registry, loader) == (2, Lane.CHAMPION)


def test_a_policy_that_wants_less_ends_it(registry: Registry, loader: Loader) -> None:
    find(registry, version=2)
    settle(registry, loader)

    drift.set_drift_policy(registry, "sum", DriftPolicy(), AUTHOR)

    assert settle(registry, loader) == (2, Lane.CHAMPION)


def test_another_champion_answers_at_once_whatever_was_found_of_the_one_before(
    registry: Registry, loader: Loader
) -> None:
    find(registry, version=2)
    settle(registry, loader)
    publish(registry, "sum", linear_model(3.0), promote=False)
    registry.point_alias("sum", "kept", 1, "so that it stays loaded", AUTHOR)

    registry.promote("sum", 3, "trained on the new values", AUTHOR, by_force=True)
    asyncio.run(loader.load())  # before the controller knows

    served, lane = loader.roster.choose("sum", None)
    assert (served.number, lane) == (3, Lane.CHAMPION)
    assert settle(registry, loader) == (3, Lane.CHAMPION)
    assert fallbacks(registry.store) == {}


@pytest.mark.parametrize("case", ["no other", "retired", "another signature"])
def test_nothing_stands_in_that_cannot(registry: Registry, case: str) -> None:
    if case != "no other":
        publish(registry, "sum", linear_model())
    if case == "another signature":
        publish(registry, "sum", identity_model())
    else:
        publish(registry, "sum", linear_model(2.0))
    if case == "retired":
        registry.retire("sum", 1, "it was wrong", AUTHOR)
    drift.set_drift_policy(registry, "sum", ROUTE, AUTHOR)
    champion = registry.store.aliases("sum")["champion"]
    find(registry, version=champion)

    with make_loader(registry) as loader:
        assert settle(registry, loader) == (champion, Lane.CHAMPION)
    assert fallbacks(registry.store) == {}


def test_what_stands_in_is_kept_over_a_restart(registry: Registry, loader: Loader) -> None:
    find(registry, version=2)
    settle(registry, loader)

    assert fallbacks(registry.store) == {"sum": Fallback(champion=2, version=1)}
    with make_loader(registry) as another:
        asyncio.run(another.load())
        assert another.roster.choose("sum", None)[1] is Lane.FALLBACK
