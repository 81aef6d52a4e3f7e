"""Drift from end to end: a real gateway, traffic that leaves its reference, and what is done."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.records import Lane
from registry.reference import derive_reference
from registry.store import open_store
from registry.times import from_us
from registry.windows import Span
from tests.builders import (
    PATIENCE_S,
    Gateway,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.world import check_problem

ROWS = 20_000
FAST = {"look_s": 1, "least_rows": 100, "false_alarm_days": 1}
BEGINNING, END = from_us(0), from_us(2**52)


class Served:
    """A gateway with the models `shifted`, which has had two champions, and `clean`."""

    def __init__(self, gateway: Gateway, client: httpx.Client, token: str) -> None:
        self.gateway = gateway
        self.client = client
        self.token = token
        self._random = np.random.default_rng(3)

    def send(
        self,
        model: str,
        shift: float = 0.0,
        rows: int = 100,
        client: httpx.Client | None = None,
    ) -> dict[str, Any]:
        """Have rows answered, and return the parameters of the answer."""
        x = self._random.normal(shift, size=(rows, 3)).clip(-9, 9).astype(np.float32)
        body = infer_body(x.tolist())
        answer = (client or self.client).post(f"/v2/models/{model}/infer", json=body)
        assert answer.status_code == 200, answer.text
        parameters: dict[str, Any] = answer.json()["parameters"]
        return parameters

    def findings(self, model: str) -> list[dict[str, Any]]:
        answer = self.client.get(f"/admin/models/{model}/findings")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["findings"]
        return found

    def set_policy(self, model: str, **policy: Any) -> None:
        path = f"/admin/models/{model}/drift-policy"
        answer = self.client.put(path, json=FAST | policy)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("drift")
    registry = open_registry(folder)
    x = np.random.default_rng(1).normal(size=(ROWS, 3)).astype(np.float32)
    limits = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, low=-10, high=10)
    draft = Draft(reference=derive_reference({"x": x}), contract=Contract(rules=(limits,)))
    publish(registry, "shifted", linear_model(), draft)
    publish(registry, "shifted", linear_model(2.0), draft)
    publish(registry, "clean", linear_model(), draft)
    token = add_key(registry)
    registry.store.close()
    with serving(folder, workers=2) as gateway, gateway.client(token) as client:
        yield Served(gateway, client, token)


def until(condition: Callable[[], bool]) -> None:
    """Ask until something is so; each asking is a request, and waits for its answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"


def test_shifted_traffic_is_found_acted_on_and_let_be_when_a_person_says_so(served: Served) -> None:
    served.set_policy("shifted", action="route_to_fallback")
    assert served.send("shifted")["lane"] == Lane.CHAMPION

    until(lambda: served.send("shifted", shift=1.5)["lane"] == Lane.FALLBACK)
    found = served.findings("shifted")
    wanted = {"kind": "finding", "model": "shifted"}
    records = served.client.get("/audit/records", params=wanted).json()["records"]

    told = [one["record"] for one in records if one["record"]["action"] == "found"]
    assert {one["id"] for one in found} <= {one["id"] for one in told}
    assert {one["subject"] for one in told} <= {"x[0]", "x[1]", "x[2]", "joint"}
    assert {one["principal"] for one in told} == {"controller"}
    assert all(one["state"] == "open" and len(one["records"]) > 0 for one in found)
    assert served.client.get(f"/audit/records/{found[0]['records'][0]}").status_code == 200
    promotion = {"version": 1, "reason": "it may be better"}
    held = served.client.post("/admin/models/shifted/promotions", json=promotion)
    assert "x[" in check_problem(held, 409, "promotion-held")["detail"]

    def is_back() -> bool:
        close_all(served)
        return bool(served.send("shifted", shift=1.5)["lane"] == Lane.CHAMPION)

    until(is_back)
    again = served.client.post(close_path(found[0]), json={"reason": "again"})
    check_problem(again, 409, "finding-not-open")


def close_path(finding: dict[str, Any]) -> str:
    return f"/admin/models/{finding['model']}/findings/{finding['id']}/close"


def close_all(served: Served) -> None:
    """Close all that is open; of other features more may be found meanwhile."""
    for one in served.findings("shifted"):
        if one["state"] == "open":
            closed = served.client.post(close_path(one), json={"reason": "a campaign"})
            assert closed.json()["state"] == "closed"


def test_what_two_workers_answered_is_counted_once_and_nothing_is_found_in_it(
    served: Served,
) -> None:
    served.set_policy("clean", action="route_to_fallback")
    for _ in range(100):
        with served.gateway.client(served.token) as client:  # whichever worker takes it
            served.send("clean", rows=30, client=client)
    refused = served.client.post("/v2/models/clean/infer", json=infer_body([[99.0, 0.0, 0.0]]))
    assert refused.status_code == 400
    pids = [one["pid"] for one in served.client.get("/admin/models/clean").json()["workers"]]
    os.kill(pids[0], signal.SIGTERM)  # its counts are taken all the same

    def counted() -> list[int]:
        store = open_store(served.gateway.data_dir)
        found = [
            sum(
                int.from_bytes(one.counts[:8], "little")
                for one in store.windows(
                    "clean", 1, Lane.CHAMPION, span, since=BEGINNING, until=END
                )
            )
            for span in Span
        ]
        store.close()
        return found

    until(lambda: counted() == [3_000] * 3)
    assert served.findings("clean") == []


def test_a_policy_is_shown_as_it_is_and_refused_by_the_member_that_is_wrong(
    served: Served,
) -> None:
    path = "/admin/models/clean/drift-policy"
    served.set_policy("clean", features={"x[1]": {"tolerance": 0.1}})

    shown = served.client.get(path).json()

    assert shown["look_s"] == 1
    assert shown["tolerance"] == 0.03
    assert shown["features"] == {"x[1]": {"tolerance": 0.1}}
    for wrong in ({"tolerance": 2}, {"action": "panic"}, {"tau": 1}, {"features": {"q": {}}}):
        check_problem(served.client.put(path, json=wrong), 400, "invalid-request")
    check_problem(served.client.get("/admin/models/none/findings"), 404, "not-found")
    check_problem(
        served.client.post("/admin/models/clean/findings/none/close", json={"reason": "r"}),
        404,
        "not-found",
    )


def test_anybody_who_may_look_sees_how_traffic_stands_as_json_and_as_a_page(
    served: Served,
) -> None:
    path = "/admin/models/shifted/drift"
    for _ in range(3):
        served.send("shifted", shift=1.5)

    def report() -> dict[str, Any]:
        answer = served.client.get(path, params={"window": "1h", "version": 2})
        found: dict[str, Any] = answer.json()
        return found

    until(lambda: bool(report()["rows"] >= 200))
    found = report()
    assert (found["model"], found["version"], found["lane"]) == ("shifted", 2, "champion")
    assert found["level"] == "material"
    assert {one["feature"] for one in found["features"]} >= {"x[0]", "x[1]", "x[2]"}
    first = found["features"][0]
    assert first["comparison"]["js_distance"] > 0.1
    assert sum(one["observed"] for one in first["bins"]) == pytest.approx(1)

    browser = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    pages = (
        served.client.get(path, headers=browser),
        served.client.get(path, params={"format": "html"}),
    )
    for page in pages:
        assert page.headers["content-type"].startswith("text/html")
        assert page.text.startswith("<!doctype html>")
        assert "differ materially from training" in page.text
    for options in (
        {"headers": {"accept": "application/json"}},
        {"headers": {"accept": "*/*"}},
        {"headers": browser, "params": {"format": "json"}},
    ):
        answer = served.client.get(path, **options)
        assert answer.headers["content-type"] == "application/json"


def test_drift_that_cannot_be_told_is_an_error_in_the_one_shape(served: Served) -> None:
    path = "/admin/models/shifted/drift"
    check_problem(served.client.get("/admin/models/none/drift"), 404, "not-found")
    check_problem(served.client.get(path, params={"version": 9}), 404, "not-found")
    check_problem(served.client.get(path, params={"window": "1y"}), 400, "invalid-request")
    for wrong in ({"lane": "nowhere"}, {"version": 0}, {"format": "pdf"}):
        check_problem(served.client.get(path, params=wrong), 400, "bad-request")
    with served.gateway.client() as stranger:
        check_problem(stranger.get(path), 401, "unauthenticated")


def test_drift_is_described_and_has_gauges(served: Served) -> None:
    described = served.client.get("/openapi.json").json()
    answer = described["paths"]["/admin/models/{model}/drift"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/DriftReport")

    metrics = served.client.get("/metrics").text

    assert 'gateway_findings_open{model="clean",version="1"} 0' in metrics
    assert 'gateway_window_rows{model="clean",version="1"} 0' in metrics
