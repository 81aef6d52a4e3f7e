import asyncio
from collections.abc import Iterator

import pytest

from gateway.errors import NotServed
from gateway.loader import EMPTY_ROSTER
from gateway.roster import Roster
from registry.console import open_registry
from registry.records import Lane
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.gateway.serving import make_loader


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roster]:
    """Versions 1 to 3 of `linear`, 2 is champion after 1; `aliased` has an alias, no champion."""
    registry = open_registry(tmp_path_factory.mktemp("roster"))
    for weight in (1.0, 2.0, 3.0):
        publish(registry, "linear", linear_model(weight), promote=weight < 3)
    publish(registry, "aliased", linear_model(), promote=False)
    registry.point_alias("aliased", "mine", 1, "a test", AUTHOR)
    publish(registry, "unused", linear_model(), promote=False)
    with make_loader(registry) as loader:
        asyncio.run(loader.load())
        yield loader.roster
    registry.store.close()


def test_without_a_version_the_champion_answers(roster: Roster) -> None:
    served, lane = roster.choose("linear", None)

    assert (served.model, served.number, lane) == ("linear", 2, Lane.CHAMPION)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_version_that_is_named_is_pinned(roster: Roster, version: str) -> None:
    served, lane = roster.choose("linear", version)

    assert (served.number, lane) == (int(version), Lane.PINNED)


@pytest.mark.parametrize(
    "version",
    ["3", "4", "0", "01", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e0", "9e9", "١", "", "9" * 30],
)
def test_any_other_version_is_not_served(roster: Roster, version: str) -> None:
    with pytest.raises(NotServed, match="linear version"):
        roster.choose("linear", version)


@pytest.mark.parametrize("model", ["", "none", "LINEAR", "linear\n", "unused", "../linear"])
def test_any_other_model_is_not_served(roster: Roster, model: str) -> None:
    for version in (None, "1"):
        with pytest.raises(NotServed):
            roster.choose(model, version)


def test_a_model_without_champion_answers_by_version_alone(roster: Roster) -> None:
    served, lane = roster.choose("aliased", "1")

    assert (served.number, lane) == (1, Lane.PINNED)
    with pytest.raises(NotServed):
        roster.choose("aliased", None)


def test_before_the_first_loading_nothing_is_served() -> None:
    with pytest.raises(NotServed):
        EMPTY_ROSTER.choose("linear", None)


def test_a_long_name_is_not_echoed_whole(roster: Roster) -> None:
    with pytest.raises(NotServed) as caught:
        roster.choose("x" * 8000, "9" * 8000)
    assert len(str(caught.value)) < 250
