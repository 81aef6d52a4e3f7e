"""One worker process: an event loop that loads, answers, and records in a journal of its own."""

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import uvicorn
import uvloop

from gateway.app import Application, build_application
from gateway.canaries import Canaries
from gateway.http.deadlines import Limits, watch_deadlines
from gateway.http.hotpath import HotPath
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.logs import configure_logs, logger
from gateway.long_runs import LongRuns
from gateway.metrics import Meter, Metrics, Slots
from gateway.metrics.counters import resident_bytes
from gateway.observation import Observation
from gateway.pipeline import Pipeline
from gateway.reporting import Reporter
from gateway.roster import Roster
from gateway.runtime import Watchdog
from gateway.settings import Settings, Transport, read_settings
from gateway.shadow.sender import Sender
from gateway.summaries import SummaryFile
from gateway.truth.apart import matured_scores
from registry import rolling_out
from registry.artifacts import Artifacts
from registry.audit.query import AuditTrail
from registry.recording import Author
from registry.registry import Registry
from registry.store import open_store

if TYPE_CHECKING:
    from gateway.spans import Spans

JOURNAL_BROKEN_EXIT = 70
_LAST_ANSWERS_S = 0.2
_RUN_THREADS = 2
_COLLECT_AFTER = 20_000
_AUTHOR = Author(principal="worker")


class Worker:
    """What one worker is made of, from its journal to the request path.

    It goes on from the counts of the one that had its slot before.
    """

    def __init__(self, settings: Settings, slot: int) -> None:
        self.name = f"worker-{uuid4().hex[:8]}"
        self.store = open_store(settings.data_dir, settings.payload_key)
        self.registry = Registry(
            self.store,
            Artifacts(settings.artifacts_dir),
            truth=matured_scores(settings.data_dir, settings.payload_key),
        )
        self.watchdog = Watchdog(settings.run_deadline_s)
        self.long_runs = LongRuns(threads=_RUN_THREADS, longest_wait_s=settings.queue_limit_s)
        self.canaries = Canaries(self._trip)
        slots = Slots(settings.metrics_dir)
        self._metrics = metrics = Metrics(slot, slots.read(slot))
        self.meter = Meter(metrics, slots, slot)
        self.journal = Journal(
            settings.journal_dir,
            on_broken=_end_at_once,
            on_commit=metrics.commit,
            segment_age_s=settings.segment_age_s,
        )
        metrics.gauge("journal_waiting", lambda: self.journal.waiting)
        metrics.gauge("resident_bytes", resident_bytes)
        self.spans = _open_spans(settings)
        self.loader = Loader(
            worker=self.name,
            registry=self.registry,
            watchdog=self.watchdog,
            poll_s=settings.poll_s,
            on_swap=self._forget_others,
        )
        summary = SummaryFile(settings.summaries_dir)
        self.observation = Observation(summary, lambda: self.loader.roster, self.canaries.counts)
        self.sender = Sender(settings.shadow_dir, metrics)
        reporter = Reporter(
            roster=lambda: self.loader.roster,
            metrics=metrics,
            canaries=self.canaries,
            observation=self.observation,
            spans=self.spans,
            note_for_shadows=self.sender.note,
        )
        self.pipeline = Pipeline(
            roster=lambda: self.loader.roster,
            journal=self.journal,
            long_runs=self.long_runs,
            metrics=metrics,
            reporter=reporter,
            canaries=self.canaries,
            in_flight_limit=settings.in_flight_limit,
            body_limit=settings.body_limit,
            payload_limit=settings.payload_limit,
            longest_turn_s=2 * settings.queue_limit_s,
        )

    async def close(self) -> None:
        """Record what was answered and write down what was counted, then let go of everything."""
        await self.journal.close()
        self.sender.close()
        await self.canaries.close()
        await self.observation.close()
        await self.meter.write()
        if self.spans is not None:
            await asyncio.to_thread(self.spans.close)
        self.long_runs.close()
        self.watchdog.close()
        await self.loader.close()
        self.store.close()

    def _forget_others(self, roster: Roster) -> None:
        """Let go of what is known of all that a new roster does not have."""
        self.canaries.keep_only(roster.canary_rollouts)
        self._metrics.keep_only(roster.served)

    def _trip(self, rollout: str, reason: str) -> None:
        rolling_out.trip(self.registry, rollout, reason, _AUTHOR)


async def run_worker(
    settings: Settings,
    listener: socket.socket,
    parent: int,
    slot: int,
    is_told: Callable[[], bool] = lambda: False,
) -> None:
    """Serve from an open listener until told to stop, or until the pipe `parent` closes.

    `is_told` says whether that came before anything here could hear it.
    """
    worker = Worker(settings, slot)
    await worker.loader.load()
    application = build_application(
        settings=settings,
        registry=worker.registry,
        loader=worker.loader,
        journal=worker.journal,
        pipeline=worker.pipeline,
        meter=worker.meter,
        trail=AuditTrail(worker.store, settings.journal_dir),
    )
    limits = _limits(settings)
    server = uvicorn.Server(_uvicorn_config(application, worker.pipeline, limits, settings))
    _settle_memory()
    tasks = [
        asyncio.create_task(worker.loader.follow()),
        asyncio.create_task(worker.meter.follow()),
        asyncio.create_task(worker.observation.follow()),
        asyncio.create_task(watch_deadlines(server.server_state.connections, limits)),
    ]
    _stop_with_parent(server, parent)
    generation = worker.loader.roster.generation
    logger.info("worker_ready", worker=worker.name, generation=generation)
    server.should_exit = is_told()
    try:
        await server.serve([listener])
    finally:
        for task in tasks:
            task.cancel()
        await worker.close()


def _limits(settings: Settings) -> Limits:
    return Limits(
        body_limit=settings.body_limit,
        header_deadline_s=settings.header_deadline_s,
        body_deadline_s=settings.body_deadline_s,
        idle_deadline_s=settings.idle_deadline_s,
    )


def _open_spans(settings: Settings) -> "Spans | None":
    """Import what sends spans only where it is wanted: it is an extra, and not small."""
    if settings.otlp_endpoint is None:
        return None
    spans: Spans = importlib.import_module("gateway.spans").Spans(settings.otlp_endpoint)
    return spans


def _uvicorn_config(
    application: Application, pipeline: Pipeline, limits: Limits, settings: Settings
) -> uvicorn.Config:
    hot_path: Any = partial(HotPath, inference=pipeline, limits=limits, known={})
    return uvicorn.Config(
        application,
        http=hot_path if settings.transport is Transport.PROTOCOL else "httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # The address in a record is that of the peer, not what a header says.
        proxy_headers=False,
        timeout_keep_alive=int(settings.idle_deadline_s),
        timeout_graceful_shutdown=int(settings.drain_s),
    )


def _settle_memory() -> None:
    """Spare the garbage collector all that was made at the start and lives as long as the process.

    Requests leave little that only it can free, so it may look for that less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _end_at_once(error: BaseException) -> None:
    """End the process once the refusals under way have left: nothing can be recorded any more."""
    logger.critical("journal_broken", detail=str(error))
    asyncio.get_running_loop().call_later(_LAST_ANSWERS_S, os._exit, JOURNAL_BROKEN_EXIT)


def _stop_with_parent(server: uvicorn.Server, parent: int) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(parent)
        server.should_exit = True

    # Nothing is ever written to this pipe: it becomes readable when its other end closes.
    loop.add_reader(parent, stop)


def main() -> None:
    """Run a worker from its command line: as the supervisor writes it."""
    settings = read_settings(sys.argv[1])
    configure_logs("worker")
    # While it starts, uvicorn hears no signal yet. It raises the one that stopped it once more when
    # it is done; what is left to close here must outlive that.
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    with socket.socket(fileno=int(sys.argv[2])) as listener:
        uvloop.run(run_worker(settings, listener, int(sys.argv[3]), int(sys.argv[4]), told.is_set))


if __name__ == "__main__":
    main()
