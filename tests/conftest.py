"""Fixtures that every kind of test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.http.conformance", "tests.http.world", "tests.http.wire")

from registry.registry import Registry  # noqa: E402 - after asserts are made to explain
from tests.builders import open_registry  # noqa: E402


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry in a folder of its own."""
    registry = open_registry(tmp_path)
    yield registry
    registry.store.close()
