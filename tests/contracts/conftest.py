"""The stores that the contract is held by."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.store import Store, open_store
from tests.contracts.place import Place


@pytest.fixture(params=["sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return {"sqlite": Place(open_store, tmp_path)}[request.param]


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = place.open()
    yield opened
    opened.close()
