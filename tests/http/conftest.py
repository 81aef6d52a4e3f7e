"""One gateway for the whole folder: starting one takes longer than most of its tests."""

from collections.abc import Iterator

import httpx
import pytest

pytest.register_assert_rewrite("tests.http.conformance", "tests.http.world", "tests.http.wire")

from tests.http.world import World, open_world  # noqa: E402 - after its asserts are made to explain


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def client(world: World) -> Iterator[httpx.Client]:
    """A client whose key has every role."""
    with world.client() as client:
        yield client
