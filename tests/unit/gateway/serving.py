"""The parts of a worker, put together without a server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.canaries import Canaries
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from gateway.observation import Observation
from gateway.pipeline import Pipeline
from gateway.reporting import Reporter
from gateway.roster import Roster
from gateway.runtime import Watchdog
from registry.registry import Registry


@contextmanager
def make_loader(
    registry: Registry,
    kind: type[Loader] = Loader,
    deadline_s: float = 5,
    on_swap: Callable[[Roster], None] = lambda _: None,
) -> Iterator[Loader]:
    watchdog = Watchdog(deadline_s)
    yield kind(
        worker="worker-test",
        registry=registry,
        watchdog=watchdog,
        poll_s=0.01,
        on_swap=on_swap,
    )
    watchdog.close()


def make_pipeline(
    loader: Loader,
    journal: Journal,
    long_runs: LongRuns,
    metrics: Metrics,
    observation: Observation | None = None,
    *,
    in_flight_limit: int = 1000,
    payload_limit: int = 1 << 20,
    longest_turn_s: float = 1,
    canaries: Canaries | None = None,
) -> Pipeline:
    canaries = canaries or Canaries(lambda *_: None)
    return Pipeline(
        roster=lambda: loader.roster,
        journal=journal,
        long_runs=long_runs,
        metrics=metrics,
        reporter=Reporter(
            roster=lambda: loader.roster,
            metrics=metrics,
            canaries=canaries,
            observation=observation,
        ),
        canaries=canaries,
        in_flight_limit=in_flight_limit,
        body_limit=1 << 20,
        payload_limit=payload_limit,
        longest_turn_s=longest_turn_s,
    )
