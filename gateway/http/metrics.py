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
from gateway.metrics.rollouts import RolloutState
from gateway.metrics.samples import LogState
from gateway.metrics.snapshot import total
from gateway.rollout.gauges import RolloutGauges
from gateway.security import Role
from gateway.shadow.gauges import ShadowGauges
from registry.errors import RegistryError
from registry.events import DeliveryCount
from registry.registry import Registry
from registry.store import Store


@get("/metrics", opt=open_to(Role.VIEWER), media_type=CONTENT_TYPE)
async def show_metrics(
    meter: NamedDependency[Meter],
    registry: NamedDependency[Registry],
    drift_gauges: NamedDependency[DriftGauges],
    rollout_gauges: NamedDependency[RolloutGauges],
    shadow_gauges: NamedDependency[ShadowGauges],
) -> str:
    """Show the metrics of all workers in Prometheus' text format."""
    told = await asyncio.to_thread(_read_store, registry.store, drift_gauges, rollout_gauges)
    snapshots = await meter.read()
    shadows = await asyncio.to_thread(shadow_gauges.read, total(snapshots).sheds)
    return write_text(snapshots, *told, shadows=shadows)


def _read_store(
    store: Store, drift_gauges: DriftGauges, rollout_gauges: RolloutGauges
) -> tuple[LogState | None, Sequence[DeliveryCount], Sequence[DriftState], Sequence[RolloutState]]:
    """Read how log, messages, drift and rollouts stand; where the store cannot say, all else is
    told.
    """
    try:
        signed = store.checkpoint()
        log = LogState(
            records=store.tree_size(),
            signed_records=0 if signed is None else signed.size,
            signed_s=None if signed is None else signed.signed.timestamp(),
        )
        return log, store.delivery_counts(), drift_gauges.read(), rollout_gauges.read()
    except RegistryError as error:
        logger.warning("store_unreadable", error=type(error).__name__, detail=str(error))
        return None, (), (), ()
