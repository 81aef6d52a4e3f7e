"""One gateway for the whole folder and each transport: starting one takes longer than its tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.world import TRANSPORTS, World, publish_world, serve_world


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with all models, and the tokens of its keys."""
    folder = tmp_path_factory.mktemp("published")
    return folder, publish_world(folder)


@pytest.fixture(scope="session", params=TRANSPORTS)
def world(
    request: pytest.FixtureRequest,
    published: tuple[Path, dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder, tokens = published
    copy = tmp_path_factory.mktemp("world") / "data"
    shutil.copytree(folder, copy)
    with serve_world(copy, tokens, *TRANSPORTS[request.param]) as world:
        yield world


@pytest.fixture(scope="session")
def client(world: World) -> Iterator[httpx.Client]:
    """A client whose key has every role."""
    with world.client() as client:
        yield client
