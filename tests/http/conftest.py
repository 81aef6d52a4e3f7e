"""One gateway for the whole folder: starting one takes longer than most of its tests."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.world import World, open_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def client(world: World) -> Iterator[httpx.Client]:
    """A client whose key has every role."""
    with world.client() as client:
        yield client
