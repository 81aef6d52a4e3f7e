"""Metrics and statistics of a real gateway, over all its workers."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.builders import (
    Gateway,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.world import World, check_problem

PATIENCE = 2000


def scrape(client: httpx.Client) -> str:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def count(text: str, name: str, **labels: str) -> float:
    """Add the samples of one name that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def eventually(look: Callable[[], float], wanted: float) -> None:
    """Look until the value is there: the other worker writes once a second."""
    seen = 0.0
    for _ in range(PATIENCE):
        seen = look()
        if seen == wanted:
            return
    pytest.fail(f"it is {seen}, not {wanted}")


def infer(client: httpx.Client, body: object = None, model: str = "linear") -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", json=body or infer_body([[1, 2, 3], [4, 5, 6]]))


def test_a_record_is_seen_to_come_into_the_log_and_under_a_checkpoint(
    client: httpx.Client,
) -> None:
    records = count(scrape(client), "gateway_log_records")
    infer(client)

    for name in ("gateway_log_records", "gateway_log_signed_records"):
        eventually(lambda: min(records + 1, count(scrape(client), name)), records + 1)  # noqa: B023 - called at once
    assert abs(count(scrape(client), "gateway_log_signed_timestamp_seconds") - time.time()) < 60


def test_answers_refusals_and_strangers_are_counted(world: World, client: httpx.Client) -> None:
    before = scrape(client)
    infer(client)
    infer(client, {"inputs": []})
    for name in ("invented-1", "invented-2"):
        infer(client, model=name)
    with world.client("none") as stranger:
        infer(stranger)
    after = scrape(client)

    def grown(name: str, **labels: str) -> float:
        return count(after, name, **labels) - count(before, name, **labels)

    linear = {"model": "linear", "version": "1", "lane": "champion"}
    assert grown("gateway_answers_total", **linear) == 1
    assert grown("gateway_rows_total", **linear) == 2
    assert grown("gateway_latency_seconds_count", **linear) == 1
    assert grown("gateway_batch_rows_sum", **linear) == 2
    assert grown("gateway_errors_total", **linear) == 1
    assert grown("gateway_errors_total", model="", code="not-found") == 2
    assert grown("gateway_errors_total", model="", code="unauthenticated") == 1
    assert grown("gateway_journal_group_records_sum") == 4
    assert grown("gateway_journal_commit_seconds_sum") > 0
    assert "invented" not in after


def test_what_a_worker_is_and_may_hold_is_told(client: httpx.Client) -> None:
    text = scrape(client)

    assert count(text, "gateway_workers") == 1
    assert count(text, "gateway_in_flight", worker="0") == 0
    assert count(text, "gateway_in_flight_limit", worker="0") == 256
    assert count(text, "gateway_process_resident_memory_bytes", worker="0") > 10 << 20
    assert count(text, "gateway_process_cpu_seconds_total", worker="0") > 0


def worker_of(gateway: Gateway, token: str) -> Callable[[], float]:
    def look() -> float:
        # A connection of its own each time, so that either worker may answer.
        with gateway.client(token) as client:
            return count(scrape(client), "gateway_answers_total", model="linear")

    return look


def test_counts_of_all_workers_are_added_and_outlive_a_worker(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    token = add_key(registry)
    with serving(tmp_path, workers=2) as gateway:
        answered = worker_of(gateway, token)
        for _ in range(20):
            with gateway.client(token) as client:
                assert infer(client).status_code == 200
        eventually(answered, 20)

        for status in registry.store.workers():
            os.kill(status.pid, signal.SIGKILL)
            gateway.wait_for("worker_ready")
            assert answered() == 20
        with gateway.client(token) as client:
            infer(client)
            eventually(lambda: count(scrape(client), "gateway_workers"), 2)
        eventually(answered, 21)
    with serving(tmp_path) as gateway:
        assert worker_of(gateway, token)() == 0
    registry.store.close()


def test_statistics_count_rows_runs_and_time(client: httpx.Client) -> None:
    def linear() -> dict[str, object]:
        [found] = client.get("/v2/models/linear/versions/1/stats").json()["model_stats"]
        return found  # type: ignore[no-any-return]

    before = linear()
    infer(client)
    infer(client, {"inputs": []})
    after = linear()

    assert (after["name"], after["version"]) == ("linear", "1")
    assert after["inference_count"] == before["inference_count"] + 2  # type: ignore[operator]
    assert after["execution_count"] == before["execution_count"] + 1  # type: ignore[operator]
    assert after["last_inference"] > 1.7e12  # type: ignore[operator]
    stats, earlier = after["inference_stats"], before["inference_stats"]
    assert isinstance(stats, dict)
    assert isinstance(earlier, dict)
    assert stats["success"]["count"] == earlier["success"]["count"] + 1
    assert stats["fail"]["count"] == earlier["fail"]["count"] + 1
    assert stats["success"]["ns"] == sum(
        stats[part]["ns"] for part in ("queue", "compute_input", "compute_infer", "compute_output")
    )
    assert stats["cache_hit"] == {"count": 0, "ns": 0}
    batches = after["batch_stats"]
    assert isinstance(batches, list)
    assert sum(one["compute_infer"]["count"] for one in batches) == after["execution_count"]


def test_statistics_list_every_version_that_is_served(client: httpx.Client) -> None:
    listed = client.get("/v2/models/stats").json()["model_stats"]

    assert {(one["name"], one["version"]) for one in listed} >= {("linear", "1"), ("two", "1")}
    assert {one["name"] for one in client.get("/v2/models/two/stats").json()["model_stats"]} == {
        "two"
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/none/stats",
        "/v2/models/linear/versions/9/stats",
        "/v2/models/x/versions/y/stats",
    ],
)
def test_there_are_no_statistics_of_what_is_not_served(client: httpx.Client, path: str) -> None:
    check_problem(client.get(path), 404, "not-found")
