"""Prometheus' text format 0.0.4 of what the workers counted."""

from collections.abc import Sequence

from gateway.metrics.drift import DriftState, Sample
from gateway.metrics.families import FAMILIES
from gateway.metrics.rollouts import RolloutState
from gateway.metrics.samples import LogState, Merged
from gateway.metrics.shadow import ShadowState
from gateway.metrics.snapshot import Snapshot, total
from gateway.processes import is_running
from registry.events import DeliveryCount

# The HTTP layer adds the charset, which is UTF-8.
CONTENT_TYPE = "text/plain; version=0.0.4"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def write_text(
    snapshots: Sequence[Snapshot],
    log: LogState | None = None,
    deliveries: Sequence[DeliveryCount] = (),
    drift: Sequence[DriftState] = (),
    rollouts: Sequence[RolloutState] = (),
    *,
    shadows: Sequence[ShadowState] = (),
) -> str:
    """Write all metrics of all workers; gauges of workers that ended are left out."""
    merged = merge(snapshots, log, deliveries, drift, rollouts, shadows=shadows)
    lines: list[str] = []
    for family in FAMILIES:
        lines += (
            f"# HELP {family.name} {family.help}",
            f"# TYPE {family.name} {family.kind}",
        )
        lines += (_line(family.name, sample) for sample in family.samples(merged))
    return "\n".join([*lines, ""])


def merge(
    snapshots: Sequence[Snapshot],
    log: LogState | None,
    deliveries: Sequence[DeliveryCount],
    drift: Sequence[DriftState],
    rollouts: Sequence[RolloutState],
    *,
    shadows: Sequence[ShadowState] = (),
) -> Merged:
    """Add what all workers counted, and find out which of them run."""
    running = [one for one in snapshots if is_running(one.vitals.pid)]
    counts = total(snapshots)
    return Merged(counts, snapshots, running, log, deliveries, drift, rollouts, shadows)


def _line(name: str, sample: Sample) -> str:
    suffix, labels, value = sample
    written = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"{name}{suffix}{{{written}}} {value!r}" if written else f"{name}{suffix} {value!r}"
