"""Fixtures that every kind of test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.registry import Registry
from tests.builders import open_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry in a folder of its own."""
    registry = open_registry(tmp_path)
    yield registry
    registry.store.close()
