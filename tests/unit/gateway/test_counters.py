"""Counting, writing down, adding, and the text that Prometheus reads."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Meter, Metrics, Slots, Snapshot, Suspension, counters
from gateway.metrics.drift import DriftState, FeatureState
from gateway.metrics.exposition import write_text
from gateway.metrics.families import FAMILIES
from gateway.metrics.rollouts import GuardState, RolloutState
from gateway.metrics.samples import LogState
from gateway.metrics.shadow import ShadowState
from gateway.metrics.slots import encode_snapshot
from gateway.metrics.snapshot import SIZE_EDGES, TIME_EDGES_NS, total
from registry.events import DeliveryCount, DeliveryState

MS = 1_000_000
LINEAR = {"model": "linear", "version": "1", "lane": "champion"}


def answer(
    metrics: Metrics, *, latency_ns: int = 3 * MS, model: str = "linear", version: int = 1
) -> None:
    series = metrics.series(model, version, "champion")
    series.observe(latency_ns=latency_ns, queue_ns=MS, compute_ns=MS, encode_ns=MS, rows=2)
    metrics.batch(series, 1, 2, MS)


def copy(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot as another process would read it."""
    return msgspec.msgpack.decode(encode_snapshot(snapshot), type=Snapshot)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_value_on_an_edge_belongs_to_that_edge() -> None:
    metrics = Metrics()
    for latency_ns in (TIME_EDGES_NS[0], TIME_EDGES_NS[0] + 1, TIME_EDGES_NS[-1] + 1):
        answer(metrics, latency_ns=latency_ns)

    text = write_text([metrics.snapshot()])

    def at_most(edge: str) -> float:
        return value(text, "gateway_latency_seconds_bucket", **LINEAR, le=edge)

    assert [at_most(edge) for edge in ("5e-05", "0.0001", "10.0", "+Inf")] == [1, 2, 2, 3]
    assert value(text, "gateway_latency_seconds_count", **LINEAR) == 3
    assert value(text, "gateway_latency_seconds_sum", **LINEAR) == 10.000100002


def test_every_metric_is_written_with_its_type_and_can_be_parsed() -> None:
    metrics = Metrics(3)
    answer(metrics)
    metrics.unmet.fail("not-found")
    metrics.commit(5, 0.002)
    metrics.lag(0.01)
    metrics.series("linear", 1, "champion").broke({"would-reject range distance km"})
    metrics.series("linear", 2, "canary").gave_way("model-failed")
    metrics.read_suspensions(
        lambda: [Suspension(model="linear", version=1, requests=200, refused=50)]
    )
    for name in (
        "in_flight",
        "in_flight_limit",
        "queue_wait_s",
        "journal_waiting",
        "resident_bytes",
    ):
        metrics.gauge(name, lambda: 7)

    dead = DeliveryCount(destination="ops", state=DeliveryState.DEAD, count=1)
    drift = DriftState("linear", 1, 0, 300, (FeatureState("input", "x", "0", 0.1, 0.1),))
    guard = GuardState("errors", 0, 0.0, 0.0)
    rollout = RolloutState("linear", 2, "shadow", 0, 10_000, 1, (guard,))
    shadow = ShadowState("id", "linear", 2, 1, 0, {"model-failed": 1}, {"full": 1})
    log = LogState(7, 5, 1795578322.5)
    text = write_text([metrics.snapshot()], log, [dead], [drift], [rollout], shadows=[shadow])
    found = {one.name: one for one in text_string_to_metric_families(text)}

    kinds = {one.name.removesuffix("_total"): one.kind for one in FAMILIES}
    assert {name: one.type for name, one in found.items()} == kinds
    assert all(one.samples and one.documentation for one in found.values())
    assert {s.labels["worker"] for s in found["gateway_in_flight"].samples} == {"3"}
    [broken] = found["gateway_contract_violations"].samples
    assert (broken.labels["effect"], broken.labels["rule"], broken.labels["input"]) == (
        "would-reject", "range", "distance km",
    )  # fmt: skip
    [suspended] = found["gateway_contract_suspended"].samples
    assert (suspended.labels, suspended.value) == (
        {"model": "linear", "version": "1", "worker": "3"}, 0.25,
    )  # fmt: skip


def test_a_log_that_cannot_be_read_has_no_samples() -> None:
    found = {one.name: one.samples for one in text_string_to_metric_families(write_text([]))}
    assert found["gateway_workers"]
    assert not found["gateway_log_records"]
    assert not found["gateway_log_signed_timestamp_seconds"]


def test_label_values_are_escaped() -> None:
    name = 'a"b\\c\nd'
    metrics = Metrics()
    answer(metrics, model=name)

    text = write_text([metrics.snapshot()])

    assert value(text, "gateway_answers_total", **{**LINEAR, "model": name}) == 1


def test_errors_are_told_apart_by_code_and_those_that_met_no_version_are_one_series() -> None:
    metrics = Metrics()
    metrics.series("linear", 1, "champion").fail("range", 5)
    metrics.series("linear", 1, "champion").fail("range")
    metrics.unmet.fail("unauthenticated")

    text = write_text([metrics.snapshot()])

    assert value(text, "gateway_errors_total", **LINEAR, code="range") == 2
    unmet = {"model": "", "version": "", "lane": ""}
    assert value(text, "gateway_errors_total", **unmet, code="unauthenticated") == 1
    assert 'gateway_answers_total{model=""' not in text


def test_adding_is_exact_whatever_the_order_and_the_split_over_workers() -> None:
    rng = random.Random(7)
    workers = [Metrics(number) for number in range(3)]
    one = Metrics()
    for _ in range(500):
        latency_ns = rng.randrange(20_000 * MS)
        for metrics in (rng.choice(workers), one):
            answer(metrics, latency_ns=latency_ns)
            metrics.unmet.fail("not-found")
            metrics.commit(3, 0.5)
    snapshots = [metrics.snapshot() for metrics in workers]
    rng.shuffle(snapshots)

    merged, alone = total(map(copy, snapshots)), total([copy(one.snapshot())])
    for counts in (merged, alone):
        for series in counts.series:
            series.last_ns = 0
    assert merged == alone


def test_the_successor_of_a_worker_counts_on(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    first = Metrics(1)
    answer(first)
    first.unmet.fail("not-found")
    first.commit(2, 0.001)
    first.lag(0.1)
    slots.write(1, encode_snapshot(first.snapshot()))

    second = Metrics(1, slots.read(1))
    answer(second)
    answer(second, model="other")
    second.unmet.fail("not-found")
    slots.write(1, encode_snapshot(second.snapshot()))

    text = write_text(slots.read_all())
    assert value(text, "gateway_answers_total", **LINEAR) == 2
    assert value(text, "gateway_answers_total", **{**LINEAR, "model": "other"}) == 1
    unmet = {"model": "", "version": "", "lane": "", "code": "not-found"}
    assert value(text, "gateway_errors_total", **unmet) == 2
    assert value(text, "gateway_journal_group_records_sum") == 2
    assert value(text, "gateway_loop_lag_seconds_count") == 1
    cpu = copy(first.snapshot()).vitals.cpu_ns
    assert slots.read_all()[0].vitals.cpu_ns >= cpu > 0


def test_versions_that_are_served_no_more_are_forgotten_but_for_those_that_answered_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counters, "_MOST_PAST", 2)
    metrics = Metrics()
    metrics.unmet.fail("not-found")
    for version in (1, 3, 2, 5, 4):
        answer(metrics, version=version)
    metrics.series("linear", 6, "canary").gave_way("model-failed")  # it never answered

    metrics.keep_only({("linear", 3)})
    metrics.keep_only({("linear", 3)})

    assert {one.version for one in metrics.counts().series} == {None, 3, 4, 5}
    answer(metrics, version=1)
    assert [one.rows for one in metrics.counts().series if one.version == 1] == [2]


def test_what_was_shed_of_old_rollouts_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_MOST_SHEDS", 2)
    metrics = Metrics()
    for rollout in ("one", "two", "two", "three"):
        metrics.shed(rollout, "full")

    assert metrics.counts().sheds == {"two full": 2, "three full": 1}


def test_gauges_of_a_worker_that_ended_are_not_shown_and_its_counts_are() -> None:
    snapshots = []
    for number, pid in ((0, os.getpid()), (1, ended_pid())):
        metrics = Metrics(number)
        answer(metrics)
        metrics.gauge("in_flight", lambda: 3)
        snapshot = copy(metrics.snapshot())
        snapshot.vitals.pid = pid
        snapshots.append(snapshot)

    text = write_text(snapshots)

    assert value(text, "gateway_answers_total", **LINEAR) == 2
    assert value(text, "gateway_workers") == 1
    assert [line for line in text.splitlines() if line.startswith("gateway_in_flight{")] == [
        'gateway_in_flight{worker="0"} 3.0'
    ]


def test_a_scrape_shows_this_worker_as_it_is_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        metrics = Metrics(0)
        meter = Meter(metrics, Slots(tmp_path), 0)
        for count in (1, 2):
            answer(metrics)
            text = write_text(await meter.read())
            assert value(text, "gateway_answers_total", **LINEAR) == count

    asyncio.run(scenario())


def test_what_changed_is_written_without_being_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        metrics, slots = Metrics(0), Slots(tmp_path)
        following = asyncio.create_task(Meter(metrics, slots, 0).follow())
        answer(metrics)
        async with asyncio.timeout(10):
            while not slots.read_all():
                await asyncio.sleep(0)
        following.cancel()
        assert value(write_text(slots.read_all()), "gateway_answers_total", **LINEAR) == 1

    asyncio.run(scenario())


def test_without_room_the_last_snapshot_is_shown_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        metrics, folder = Metrics(0), tmp_path / "metrics"
        slots = Slots(folder)
        slots.clear()
        meter = Meter(metrics, slots, 0)
        answer(metrics)
        await meter.write()
        (folder / "0.new").mkdir()  # nothing can be written under this name now
        answer(metrics)
        for _ in range(3):
            assert value(write_text(await meter.read()), "gateway_answers_total", **LINEAR) == 1
        (folder / "0.new").rmdir()
        assert value(write_text(await meter.read()), "gateway_answers_total", **LINEAR) == 2

    with structlog.testing.capture_logs() as logs:
        asyncio.run(scenario())
    assert [line["event"] for line in logs] == ["metrics_not_written"]


def test_a_start_clears_what_an_earlier_gateway_counted(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "metrics")
    slots.clear()
    slots.write(4, encode_snapshot(Metrics(4).snapshot()))
    assert [one.slot for one in slots.read_all()] == [4]
    slots.clear()
    assert slots.read_all() == []
    assert slots.read(4) is None


def test_edges_grow() -> None:
    for edges in (TIME_EDGES_NS, SIZE_EDGES):
        assert list(edges) == sorted(set(edges))
