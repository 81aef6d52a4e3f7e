"""Fixtures that every kind of test may use."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "tests.cli.results", "tests.http.conformance", "tests.http.world", "tests.http.wire"
)

from registry.registry import Registry  # noqa: E402 - after asserts are made to explain
from tests.builders import Count, open_registry  # noqa: E402

COUNTS = "counts"

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,  # the same examples each time: a failure is found again by whoever looks
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write what tests counted, which is what a long run is made for."""
    passed = terminalreporter.getreports("passed")
    counts = [one for report in passed for name, one in report.user_properties if name == COUNTS]
    if counts:
        terminalreporter.section("counted")
        for line in counts:
            terminalreporter.write_line(str(line))


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Keep a line of what a test counted for the end of the run."""
    return partial(record_property, COUNTS)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry in a folder of its own."""
    registry = open_registry(tmp_path)
    yield registry
    registry.store.close()
