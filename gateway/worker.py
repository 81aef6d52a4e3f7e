"""One worker process: an event loop that loads, answers, and records in a journal of its own."""

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import uvicorn
import uvloop

from gateway.app import Application, build_application
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.logs import configure_logs, logger
from gateway.metrics import Meter, Metrics, Slots
from gateway.metrics.counters import resident_bytes
from gateway.pipeline import Pipeline
from gateway.runtime import Watchdog
from gateway.settings import Settings, read_settings
from registry.artifacts import Artifacts
from registry.audit.query import AuditTrail
from registry.registry import Registry
from registry.store import open_store

if TYPE_CHECKING:
    from gateway.spans import Spans

JOURNAL_BROKEN_EXIT = 70
_LAST_ANSWERS_S = 0.2
_RUN_THREADS = 2
_COLLECT_AFTER = 20_000
# Longer than what load balancers keep idle connections for, so that they close first.
_IDLE_S = 75


async def run_worker(settings: Settings, listener: socket.socket, parent: int, slot: int) -> None:
    """Serve from an open listener until told to stop, or until the pipe `parent` closes.

    The worker takes over the counts of the one that had its slot before.
    """
    name = f"worker-{uuid4().hex[:8]}"
    store = open_store(settings.data_dir)
    registry = Registry(store, Artifacts(settings.artifacts_dir))
    watchdog = Watchdog(settings.run_deadline_s)
    executor = ThreadPoolExecutor(_RUN_THREADS, thread_name_prefix="run")
    slots = Slots(settings.metrics_dir)
    metrics = Metrics(slot, slots.read(slot))
    journal = Journal(settings.journal_dir, on_broken=_end_at_once, on_commit=metrics.commit)
    metrics.gauge("journal_waiting", lambda: journal.waiting)
    metrics.gauge("resident_bytes", resident_bytes)
    meter = Meter(metrics, slots, slot)
    spans = _open_spans(settings)
    loader = Loader(
        worker=name,
        registry=registry,
        watchdog=watchdog,
        executor=executor,
        poll_s=settings.poll_s,
    )
    await loader.load()
    pipeline = Pipeline(
        roster=lambda: loader.roster,
        journal=journal,
        metrics=metrics,
        in_flight_limit=settings.in_flight_limit,
        spans=spans,
    )
    application = build_application(
        settings=settings,
        registry=registry,
        loader=loader,
        pipeline=pipeline,
        meter=meter,
        trail=AuditTrail(store, settings.journal_dir),
    )
    server = uvicorn.Server(_uvicorn_config(application, settings))
    _settle_memory()
    tasks = [asyncio.create_task(loop) for loop in (loader.follow(), meter.follow())]
    _stop_with_parent(server, parent)
    logger.info("worker_ready", worker=name, generation=loader.roster.generation)
    try:
        await server.serve([listener])
    finally:
        for task in tasks:
            task.cancel()
        await journal.close()
        await meter.write()
        if spans is not None:
            await asyncio.to_thread(spans.close)
        executor.shutdown()
        watchdog.close()
        store.close()


def _open_spans(settings: Settings) -> "Spans | None":
    """Import what sends spans only where it is wanted: it is an extra, and not small."""
    if settings.otlp_endpoint is None:
        return None
    spans: Spans = importlib.import_module("gateway.spans").Spans(settings.otlp_endpoint)
    return spans


def _uvicorn_config(application: Application, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # The address in a record is that of the peer, not what a header says.
        proxy_headers=False,
        timeout_keep_alive=_IDLE_S,
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
    """Run a worker from its command line, which the supervisor writes."""
    settings = read_settings(sys.argv[1])
    configure_logs("worker")
    # uvicorn raises the signal that stopped it once more when it is done; what is left to close
    # here must outlive that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with socket.socket(fileno=int(sys.argv[2])) as listener:
        uvloop.run(run_worker(settings, listener, int(sys.argv[3]), int(sys.argv[4])))


if __name__ == "__main__":
    main()
