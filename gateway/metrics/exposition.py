"""The metrics by name, and Prometheus' text format 0.0.4 of what the workers counted.

`FAMILIES` is the whole list; `docs/operating.md` describes it, and a test compares the two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.metrics.drift import DriftState, Sample, of_features, of_versions
from gateway.metrics.snapshot import (
    SIZE_EDGES,
    TIME_EDGES_NS,
    Counts,
    Distribution,
    SeriesCounts,
    Snapshot,
    no_times,
    total,
)
from gateway.processes import is_running
from registry.events import DeliveryCount

# The HTTP layer adds the charset, which is UTF-8.
CONTENT_TYPE = "text/plain; version=0.0.4"
_NS = 1_000_000_000
_TIME_EDGES = tuple(edge / _NS for edge in TIME_EDGES_NS)
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

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

    `log` is None where the store cannot be read now; then nothing is told of deliveries and drift.
    """

    counts: Counts
    all: Sequence[Snapshot]
    running: Sequence[Snapshot]
    log: LogState | None
    deliveries: Sequence[DeliveryCount]
    drift: Sequence[DriftState]


class Family(Struct, frozen=True):
    """One metric: its name, type and meaning, and how its samples are read."""

    name: str
    kind: str
    help: str
    samples: Callable[[Merged], Iterator[Sample]]


def write_text(
    snapshots: Sequence[Snapshot],
    log: LogState | None = None,
    deliveries: Sequence[DeliveryCount] = (),
    drift: Sequence[DriftState] = (),
) -> str:
    """Write all metrics of all workers; gauges of workers that ended are left out."""
    merged = merge(snapshots, log, deliveries, drift)
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
) -> Merged:
    """Add what all workers counted, and find out which of them run."""
    running = [one for one in snapshots if is_running(one.vitals.pid)]
    return Merged(total(snapshots), snapshots, running, log, deliveries, drift)


def _line(name: str, sample: Sample) -> str:
    suffix, labels, value = sample
    written = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
    return f"{name}{suffix}{{{written}}} {value!r}" if written else f"{name}{suffix} {value!r}"


def _labels(series: SeriesCounts) -> dict[str, str]:
    version = "" if series.version is None else str(series.version)
    return {"model": series.model, "version": version, "lane": series.lane}


def _versions(merged: Merged) -> Iterator[SeriesCounts]:
    return (series for series in merged.counts.series if series.version is not None)


def _per_series(read: Callable[[SeriesCounts], float]) -> Callable[[Merged], Iterator[Sample]]:
    return lambda merged: (("", _labels(series), read(series)) for series in _versions(merged))


def _times_per_series(
    read: Callable[[SeriesCounts], Distribution],
) -> Callable[[Merged], Iterator[Sample]]:
    def samples(merged: Merged) -> Iterator[Sample]:
        for series in _versions(merged):
            yield from _times(_labels(series), read(series))

    return samples


def _run_rows(merged: Merged) -> Iterator[Sample]:
    for series in _versions(merged):
        yield from _sizes(_labels(series), series.runs)


def _errors(merged: Merged) -> Iterator[Sample]:
    for series in merged.counts.series:
        for code, count in sorted(series.errors.items()):
            yield "", {**_labels(series), "code": code}, count


def _violations(merged: Merged) -> Iterator[Sample]:
    for series in _versions(merged):
        for name, count in sorted(series.violations.items()):
            effect, rule, tensor = name.split(" ", 2)
            yield "", {**_labels(series), "effect": effect, "rule": rule, "input": tensor}, count


def _suspended(merged: Merged) -> Iterator[Sample]:
    for snapshot in merged.running:
        for one in snapshot.vitals.suspensions:
            labels = {"model": one.model, "version": str(one.version)}
            yield "", {**labels, "worker": str(snapshot.slot)}, one.refused / max(1, one.requests)


def _lag(merged: Merged) -> Iterator[Sample]:
    lag = no_times()
    for snapshot in merged.all:
        lag.add(snapshot.vitals.lag)
    return _times({}, lag)


def _cpu(merged: Merged) -> Iterator[Sample]:
    for snapshot in merged.all:
        yield "", {"worker": str(snapshot.slot)}, snapshot.vitals.cpu_ns / _NS


def _log(read: Callable[[LogState], float | None]) -> Callable[[Merged], Iterator[Sample]]:
    def samples(merged: Merged) -> Iterator[Sample]:
        value = None if merged.log is None else read(merged.log)
        if value is not None:
            yield "", {}, value

    return samples


def _deliveries(merged: Merged) -> Iterator[Sample]:
    for one in merged.deliveries:
        yield "", {"destination": one.destination, "state": one.state}, one.count


def _gauge(name: str) -> Callable[[Merged], Iterator[Sample]]:
    return lambda merged: (
        ("", {"worker": str(snapshot.slot)}, snapshot.vitals.gauges[name])
        for snapshot in merged.running
        if name in snapshot.vitals.gauges
    )


def _times(labels: Labels, times: Distribution) -> Iterator[Sample]:
    return _histogram(labels, _TIME_EDGES, times.counts, times.total / _NS)


def _sizes(labels: Labels, sizes: Distribution) -> Iterator[Sample]:
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


FAMILIES = (
    Family(
        "gateway_answers_total",
        "counter",
        "Inference requests answered.",
        _per_series(lambda series: sum(series.latency.counts)),
    ),
    Family(
        "gateway_errors_total",
        "counter",
        "Inference requests that got an error in place of an answer, by its code.",
        _errors,
    ),
    Family(
        "gateway_contract_violations_total",
        "counter",
        "Requests that broke a rule of the contract, by what was done about it.",
        _violations,
    ),
    Family(
        "gateway_contract_suspensions_total",
        "counter",
        "How often rules that reject were suspended, since they refused too many requests.",
        _per_series(lambda series: series.suspensions),
    ),
    Family(
        "gateway_contract_suspended",
        "gauge",
        "Share of requests that suspended rules would refuse; no sample where none are suspended.",
        _suspended,
    ),
    Family(
        "gateway_rows_total",
        "counter",
        "Rows answered.",
        _per_series(lambda series: series.rows),
    ),
    Family(
        "gateway_latency_seconds",
        "histogram",
        "Time from the arrival of a request's body to its durable answer.",
        _times_per_series(lambda series: series.latency),
    ),
    Family(
        "gateway_queue_seconds",
        "histogram",
        "Time from the arrival of an answered request's body to the start of its run.",
        _times_per_series(lambda series: series.queue),
    ),
    Family(
        "gateway_compute_seconds",
        "histogram",
        "Time of the run that an answered request was part of.",
        _times_per_series(lambda series: series.compute),
    ),
    Family(
        "gateway_encode_seconds_total",
        "counter",
        "Time spent on writing answers.",
        _per_series(lambda series: series.encode_ns / _NS),
    ),
    Family(
        "gateway_batch_rows",
        "histogram",
        "Rows that ran together.",
        _run_rows,
    ),
    Family(
        "gateway_batch_requests_total",
        "counter",
        "Requests that took part in runs.",
        _per_series(lambda series: series.requests),
    ),
    Family(
        "gateway_in_flight",
        "gauge",
        "Inference requests that a worker holds now.",
        _gauge("in_flight"),
    ),
    Family(
        "gateway_in_flight_limit",
        "gauge",
        "Inference requests that a worker holds at most.",
        _gauge("in_flight_limit"),
    ),
    Family(
        "gateway_queue_wait_seconds",
        "gauge",
        "How long the next run that takes a thread would wait for one, predicted.",
        _gauge("queue_wait_s"),
    ),
    Family(
        "gateway_journal_waiting",
        "gauge",
        "Records that wait for the disk now.",
        _gauge("journal_waiting"),
    ),
    Family(
        "gateway_journal_group_records",
        "histogram",
        "Records that the journal made durable together.",
        lambda merged: _sizes({}, merged.counts.groups),
    ),
    Family(
        "gateway_journal_commit_seconds",
        "histogram",
        "Time to write and sync one group of records.",
        lambda merged: _times({}, merged.counts.commits),
    ),
    Family(
        "gateway_loop_lag_seconds",
        "histogram",
        "How late an event loop was, measured four times a second.",
        _lag,
    ),
    Family(
        "gateway_process_resident_memory_bytes",
        "gauge",
        "Memory that a worker holds.",
        _gauge("resident_bytes"),
    ),
    Family(
        "gateway_process_cpu_seconds_total",
        "counter",
        "Processor time of a worker and of those before it in its slot.",
        _cpu,
    ),
    Family(
        "gateway_log_records",
        "gauge",
        "Records in the log.",
        _log(lambda log: log.records),
    ),
    Family(
        "gateway_log_signed_records",
        "gauge",
        "Records that the last checkpoint covers.",
        _log(lambda log: log.signed_records),
    ),
    Family(
        "gateway_log_signed_timestamp_seconds",
        "gauge",
        "When the last checkpoint was signed, in seconds since 1970.",
        _log(lambda log: log.signed_s),
    ),
    Family(
        "gateway_drift_js_distance",
        "gauge",
        "How far a feature lies from its reference, by the last full hour of at least 200 rows.",
        lambda merged: of_features(merged.drift, lambda one: one.js_distance),
    ),
    Family(
        "gateway_drift_missing_share",
        "gauge",
        "Share of the values of a feature that were missing in that hour.",
        lambda merged: of_features(merged.drift, lambda one: one.missing),
    ),
    Family(
        "gateway_window_rows",
        "gauge",
        "Rows that the champion answered in that hour; 0 where no hour of the last day had enough.",
        lambda merged: of_versions(merged.drift, lambda one: one.rows),
    ),
    Family(
        "gateway_findings_open",
        "gauge",
        "Open findings of the champion.",
        lambda merged: of_versions(merged.drift, lambda one: one.open_findings),
    ),
    Family(
        "gateway_deliveries",
        "gauge",
        "Messages to a destination: pending, delivered in the last 30 days, or dead.",
        _deliveries,
    ),
    Family(
        "gateway_workers",
        "gauge",
        "Workers that run.",
        lambda merged: iter([("", {}, len(merged.running))]),
    ),
)
