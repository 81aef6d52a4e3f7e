"""The metrics of all workers, for Prometheus."""

import asyncio
from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency

from gateway.drift.gauges import DriftGauges
from gateway.http.access import open_to
from gateway.logs import logger
from gateway.metrics import Meter
from gateway.metrics.drift import DriftState
from gateway.metrics.exposition import CONTENT_TYPE, write_text
from gateway.metrics.samples import LogState
from gateway.security import Role
from registry.errors import RegistryError
from registry.events import DeliveryCount
from registry.registry import Registry
from registry.store import Store


@get("/metrics", opt=open_to(Role.VIEWER), media_type=CONTENT_TYPE)
async def show_metrics(
    meter: NamedDependency[Meter],
    registry: NamedDependency[Registry],
    drift_gauges: NamedDependency[DriftGauges],
) -> str:
    """Show the metrics of all workers in Prometheus' text format."""
    log, deliveries, drift = await asyncio.to_thread(_read_store, registry.store, drift_gauges)
    return write_text(await meter.read(), log, deliveries, drift)


def _read_store(
    store: Store, gauges: DriftGauges
) -> tuple[LogState | None, Sequence[DeliveryCount], Sequence[DriftState]]:
    """Read how far log, messages and drift are; where the store cannot say, all else is told."""
    try:
        signed = store.checkpoint()
        log = LogState(
            records=store.tree_size(),
            signed_records=0 if signed is None else signed.size,
            signed_s=None if signed is None else signed.signed.timestamp(),
        )
        return log, store.delivery_counts(), gauges.read()
    except RegistryError as error:
        logger.warning("store_unreadable", error=type(error).__name__, detail=str(error))
        return None, (), ()
