"""A pipeline to play scenarios on."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from registry.console import open_registry
from registry.registry import Registry
from tests.builders import linear_model, looping_model, publish
from tests.unit.gateway.pipeline.bench import (
    GUARDED,
    LONG_NAME,
    PAYLOAD_LIMIT,
    WORDY,
    Bench,
    HeldJournal,
    Scenario,
)
from tests.unit.gateway.serving import make_loader, make_pipeline


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with the models `linear` and `looping`, which no test changes."""
    registry = open_registry(tmp_path_factory.mktemp("served"))
    publish(registry, "linear", linear_model())
    publish(registry, "looping", looping_model())
    publish(registry, "guarded", linear_model(), GUARDED)
    publish(registry, "wordy", linear_model(name=LONG_NAME), WORDY)
    yield registry
    registry.store.close()


@pytest.fixture
def play(served: Registry, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario with two places, a journal of its own, and that journal open."""

    async def run(
        scenario: Scenario,
        *,
        is_open: bool = True,
        in_flight_limit: int = 2,
        longest_turn_s: float = 1,
    ) -> None:
        with make_loader(served, deadline_s=0.2) as loader:
            journal = HeldJournal(tmp_path, on_broken=lambda _: None)
            long_runs = LongRuns(threads=1, longest_wait_s=1)
            metrics = Metrics()
            pipeline = make_pipeline(
                loader,
                journal,
                long_runs,
                metrics,
                in_flight_limit=in_flight_limit,
                payload_limit=PAYLOAD_LIMIT,
                longest_turn_s=longest_turn_s,
            )
            bench = Bench(served, journal, pipeline, long_runs, metrics, tmp_path)
            await loader.load()
            bench.roster = loader.roster
            if is_open:
                journal.may_commit.set()
            try:
                await scenario(bench)
            finally:
                await journal.close()
                long_runs.close()

    return lambda scenario, **options: asyncio.run(run(scenario, **options))
