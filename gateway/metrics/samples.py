"""How the samples of metrics are read from what there is to tell."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.metrics.drift import DriftState, Sample
from gateway.metrics.rollouts import RolloutState
from gateway.metrics.shadow import ShadowState
from gateway.metrics.snapshot import (
    SIZE_EDGES,
    TIME_EDGES_NS,
    Counts,
    Distribution,
    SeriesCounts,
    Snapshot,
    no_times,
)
from registry.events import DeliveryCount

NS = 1_000_000_000
_TIME_EDGES = tuple(edge / NS for edge in TIME_EDGES_NS)

Labels = Mapping[str, str]


class LogState(Struct, frozen=True):
    """How many records the log has, how many are under its last checkpoint, and when it was signed.

    The time is in seconds since 1970; None where nothing was signed yet.
    """

    records: int
    signed_records: int
    signed_s: float | None


class Merged(Struct, frozen=True):
    """What there is to tell: the counts of all workers, their snapshots, and those that run.

    `log` is None where the store cannot be read now; then nothing is told of deliveries, drift,
    rollouts and shadows.
    """

    counts: Counts
    all: Sequence[Snapshot]
    running: Sequence[Snapshot]
    log: LogState | None
    deliveries: Sequence[DeliveryCount]
    drift: Sequence[DriftState]
    rollouts: Sequence[RolloutState]
    shadows: Sequence[ShadowState]


def _labels(series: SeriesCounts) -> dict[str, str]:
    version = "" if series.version is None else str(series.version)
    return {"model": series.model, "version": version, "lane": series.lane}


def _versions(merged: Merged) -> Iterator[SeriesCounts]:
    return (series for series in merged.counts.series if series.version is not None)


def per_series(read: Callable[[SeriesCounts], float]) -> Callable[[Merged], Iterator[Sample]]:
    return lambda merged: (("", _labels(series), read(series)) for series in _versions(merged))


def times_per_series(
    read: Callable[[SeriesCounts], Distribution],
) -> Callable[[Merged], Iterator[Sample]]:
    def samples(merged: Merged) -> Iterator[Sample]:
        for series in _versions(merged):
            yield from times(_labels(series), read(series))

    return samples


def run_rows(merged: Merged) -> Iterator[Sample]:
    for series in _versions(merged):
        yield from sizes(_labels(series), series.runs)


def errors(merged: Merged) -> Iterator[Sample]:
    for series in merged.counts.series:
        for code, count in sorted(series.errors.items()):
            yield "", {**_labels(series), "code": code}, count


def gave_way(merged: Merged) -> Iterator[Sample]:
    for series in _versions(merged):
        for code, count in sorted(series.gave_way.items()):
            labels = {"model": series.model, "version": str(series.version), "code": code}
            yield "", labels, count


def violations(merged: Merged) -> Iterator[Sample]:
    for series in _versions(merged):
        for name, count in sorted(series.violations.items()):
            effect, rule, tensor = name.split(" ", 2)
            yield "", {**_labels(series), "effect": effect, "rule": rule, "input": tensor}, count


def suspended(merged: Merged) -> Iterator[Sample]:
    for snapshot in merged.running:
        for one in snapshot.vitals.suspensions:
            labels = {"model": one.model, "version": str(one.version)}
            yield "", {**labels, "worker": str(snapshot.slot)}, one.refused / max(1, one.requests)


def lag(merged: Merged) -> Iterator[Sample]:
    lag = no_times()
    for snapshot in merged.all:
        lag.add(snapshot.vitals.lag)
    return times({}, lag)


def cpu(merged: Merged) -> Iterator[Sample]:
    for snapshot in merged.all:
        yield "", {"worker": str(snapshot.slot)}, snapshot.vitals.cpu_ns / NS


def log(read: Callable[[LogState], float | None]) -> Callable[[Merged], Iterator[Sample]]:
    def samples(merged: Merged) -> Iterator[Sample]:
        value = None if merged.log is None else read(merged.log)
        if value is not None:
            yield "", {}, value

    return samples


def deliveries(merged: Merged) -> Iterator[Sample]:
    for one in merged.deliveries:
        yield "", {"destination": one.destination, "state": one.state}, one.count


def gauge(name: str) -> Callable[[Merged], Iterator[Sample]]:
    return lambda merged: (
        ("", {"worker": str(snapshot.slot)}, snapshot.vitals.gauges[name])
        for snapshot in merged.running
        if name in snapshot.vitals.gauges
    )


def times(labels: Labels, times: Distribution) -> Iterator[Sample]:
    return _histogram(labels, _TIME_EDGES, times.counts, times.total / NS)


def sizes(labels: Labels, sizes: Distribution) -> Iterator[Sample]:
    return _histogram(labels, SIZE_EDGES, sizes.counts, sizes.total)


def _histogram(
    labels: Labels, edges: Sequence[float], counts: Sequence[int], sum_of_values: float
) -> Iterator[Sample]:
    reached = 0
    for edge, count in zip([*map(repr, edges), "+Inf"], counts, strict=True):
        reached += count
        yield "_bucket", {**labels, "le": edge}, reached
    yield "_sum", labels, sum_of_values
    yield "_count", labels, reached
