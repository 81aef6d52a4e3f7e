"""The metrics by name.

`FAMILIES` is the whole list; `docs/operating.md` describes it, and a test compares the two.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct

from gateway.metrics.drift import Sample, of_features, of_versions
from gateway.metrics.rollouts import evidence, of_rollouts, verdicts
from gateway.metrics.samples import (
    NS,
    Merged,
    cpu,
    deliveries,
    errors,
    gauge,
    gave_way,
    lag,
    log,
    per_series,
    run_rows,
    sizes,
    suspended,
    times,
    times_per_series,
    violations,
)
from gateway.metrics.shadow import by_reason, of_shadows
from registry.rollouts import POINTS


class Family(Struct, frozen=True):
    """One metric: its name, type and meaning, and how its samples are read."""

    name: str
    kind: str
    help: str
    samples: Callable[[Merged], Iterator[Sample]]


FAMILIES = (
    Family(
        "gateway_answers_total",
        "counter",
        "Inference requests answered.",
        per_series(lambda series: sum(series.latency.counts)),
    ),
    Family(
        "gateway_errors_total",
        "counter",
        "Inference requests that got an error in place of an answer, by its code.",
        errors,
    ),
    Family(
        "gateway_canary_faults_total",
        "counter",
        "Requests that a challenger failed and the champion answered, by the code of the fault.",
        gave_way,
    ),
    Family(
        "gateway_contract_violations_total",
        "counter",
        "Requests that broke a rule of the contract, by what was done about it.",
        violations,
    ),
    Family(
        "gateway_contract_suspensions_total",
        "counter",
        "How often rules that reject were suspended, since they refused too many requests.",
        per_series(lambda series: series.suspensions),
    ),
    Family(
        "gateway_contract_suspended",
        "gauge",
        "Share of requests that suspended rules would refuse; no sample where none are suspended.",
        suspended,
    ),
    Family(
        "gateway_rows_total",
        "counter",
        "Rows answered.",
        per_series(lambda series: series.rows),
    ),
    Family(
        "gateway_latency_seconds",
        "histogram",
        "Time from the arrival of a request's body to its durable answer.",
        times_per_series(lambda series: series.latency),
    ),
    Family(
        "gateway_queue_seconds",
        "histogram",
        "Time from the arrival of an answered request's body to the start of its run.",
        times_per_series(lambda series: series.queue),
    ),
    Family(
        "gateway_compute_seconds",
        "histogram",
        "Time of the run that an answered request was part of.",
        times_per_series(lambda series: series.compute),
    ),
    Family(
        "gateway_encode_seconds_total",
        "counter",
        "Time spent on writing answers.",
        per_series(lambda series: series.encode_ns / NS),
    ),
    Family(
        "gateway_batch_rows",
        "histogram",
        "Rows that ran together.",
        run_rows,
    ),
    Family(
        "gateway_batch_requests_total",
        "counter",
        "Requests that took part in runs.",
        per_series(lambda series: series.requests),
    ),
    Family(
        "gateway_in_flight",
        "gauge",
        "Inference requests that a worker holds now.",
        gauge("in_flight"),
    ),
    Family(
        "gateway_in_flight_limit",
        "gauge",
        "Inference requests that a worker holds at most.",
        gauge("in_flight_limit"),
    ),
    Family(
        "gateway_queue_wait_seconds",
        "gauge",
        "How long the next run that takes a thread would wait for one, predicted.",
        gauge("queue_wait_s"),
    ),
    Family(
        "gateway_journal_waiting",
        "gauge",
        "Records that wait for the disk now.",
        gauge("journal_waiting"),
    ),
    Family(
        "gateway_journal_group_records",
        "histogram",
        "Records that the journal made durable together.",
        lambda merged: sizes({}, merged.counts.groups),
    ),
    Family(
        "gateway_journal_commit_seconds",
        "histogram",
        "Time to write and sync one group of records.",
        lambda merged: times({}, merged.counts.commits),
    ),
    Family(
        "gateway_loop_lag_seconds",
        "histogram",
        "How late an event loop was, measured four times a second.",
        lag,
    ),
    Family(
        "gateway_process_resident_memory_bytes",
        "gauge",
        "Memory that a worker holds.",
        gauge("resident_bytes"),
    ),
    Family(
        "gateway_process_cpu_seconds_total",
        "counter",
        "Processor time of a worker and of those before it in its slot.",
        cpu,
    ),
    Family(
        "gateway_log_records",
        "gauge",
        "Records in the log.",
        log(lambda log: log.records),
    ),
    Family(
        "gateway_log_signed_records",
        "gauge",
        "Records that the last checkpoint covers.",
        log(lambda log: log.signed_records),
    ),
    Family(
        "gateway_log_signed_timestamp_seconds",
        "gauge",
        "When the last checkpoint was signed, in seconds since 1970.",
        log(lambda log: log.signed_s),
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
        "gateway_rollout_stage",
        "gauge",
        "Number of the stage that an open rollout is in, from 0.",
        lambda merged: of_rollouts(merged.rollouts, lambda one: one.stage),
    ),
    Family(
        "gateway_rollout_share",
        "gauge",
        "Share of callers that the challenger answers, or of requests that it shadows.",
        lambda merged: of_rollouts(merged.rollouts, lambda one: one.points / POINTS),
    ),
    Family(
        "gateway_rollout_requests",
        "gauge",
        "Requests that the challenger had in that stage.",
        lambda merged: of_rollouts(merged.rollouts, lambda one: one.requests),
    ),
    Family(
        "gateway_rollout_verdict",
        "gauge",
        "What a guard says: 1 is non_inferior, -1 worse, 0 undecided.",
        lambda merged: verdicts(merged.rollouts),
    ),
    Family(
        "gateway_rollout_evidence",
        "gauge",
        "What speaks for each verdict of a guard: the natural logarithm of an e-value.",
        lambda merged: evidence(merged.rollouts),
    ),
    Family(
        "gateway_shadow_requests_total",
        "counter",
        "Requests that a challenger ran beside the live answer.",
        lambda merged: of_shadows(merged.shadows, lambda one: one.requests),
    ),
    Family(
        "gateway_shadow_failures_total",
        "counter",
        "Requests that a challenger failed in shadow, by why.",
        lambda merged: by_reason(merged.shadows, lambda one: one.failures),
    ),
    Family(
        "gateway_shadow_shed_total",
        "counter",
        "Requests that a challenger in shadow was to have and did not get, by why.",
        lambda merged: by_reason(merged.shadows, lambda one: one.sheds),
    ),
    Family(
        "gateway_shadow_waiting",
        "gauge",
        "Requests that wait for a challenger in shadow now.",
        lambda merged: of_shadows(merged.shadows, lambda one: one.waiting),
    ),
    Family(
        "gateway_deliveries",
        "gauge",
        "Messages to a destination: pending, delivered in the last 30 days, or dead.",
        deliveries,
    ),
    Family(
        "gateway_workers",
        "gauge",
        "Workers that run.",
        lambda merged: iter([("", {}, len(merged.running))]),
    ),
)
