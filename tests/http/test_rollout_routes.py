"""Rollouts over HTTP: started, shown, paused, resumed and ended, and refused in words."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.builders import add_key, infer_body, linear_model, open_registry, publish, serving
from tests.http.world import check_problem

PLAN: dict[str, Any] = {
    "challenger": 2,
    "shadow": {"points": 10_000, "min_requests": 500},
    "steps": [{"points": 100}, {"points": 2_500}],
    "guards": [{"kind": "errors", "margin": 2}, {"kind": "score", "margin": 0.5}],
}
LATENCY = {"kind": "latency", "margin": 1.5, "quantile": 0.5}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a gateway whose model `sum` has a champion and two versions more."""
    folder = tmp_path_factory.mktemp("rollouts")
    registry = open_registry(folder)
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0), promote=False)
    publish(registry, "sum", linear_model(columns=4), promote=False)
    publish(registry, "new", linear_model(), promote=False)
    token = add_key(registry)
    registry.store.close()
    with serving(folder) as gateway, gateway.client(token) as client:
        yield client


def start(client: httpx.Client, model: str = "sum", **plan: Any) -> httpx.Response:
    body = {"plan": {**PLAN, **plan}, "reason": "it was trained on more"}
    return client.post(f"/admin/models/{model}/rollouts", json=body)


def act(client: httpx.Client, rollout: str, verb: str) -> httpx.Response:
    return client.post(f"/admin/rollouts/{rollout}/{verb}", json={"reason": f"to {verb}"})


@pytest.fixture
def rollout(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """An open rollout, which is ended after the test."""
    answer = start(client)
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = answer.json()
    yield started
    act(client, started["id"], "abort")


def test_a_rollout_is_started_and_shown_as_it_is_kept(
    client: httpx.Client, rollout: dict[str, Any]
) -> None:
    assert (rollout["phase"], rollout["stage"], rollout["champion"]) == ("shadow", 0, 1)
    assert rollout["plan"]["guards"][1] == {"kind": "score", "margin": 0.5, "output": "y"}

    listed = client.get("/admin/models/sum/rollouts").json()
    shown = client.get(f"/admin/rollouts/{rollout['id']}").json()

    assert listed["rollouts"][0] == shown["rollout"] == rollout
    [change] = shown["changes"]
    assert (change["action"], change["reason"]) == ("start", "it was trained on more")
    record = client.get(f"/audit/records/{rollout['id']}").json()["record"]
    assert (record["action"], record["version"], record["previous"]) == ("rollout.start", 2, 1)


def test_a_rollout_is_paused_resumed_and_aborted_with_their_records(
    client: httpx.Client, rollout: dict[str, Any]
) -> None:
    path = f"/admin/rollouts/{rollout['id']}"
    for verb, phase, is_paused in (
        ("pause", "shadow", True),
        ("resume", "shadow", False),
        ("abort", "aborted", False),
    ):
        answer = act(client, rollout["id"], verb)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["phase"], answer.json()["is_paused"]) == (phase, is_paused)

    changes = client.get(path).json()["changes"]
    assert [one["action"] for one in changes] == ["start", "pause", "resume", "abort"]
    for change in changes[1:]:
        record = client.get(f"/audit/records/{change['record_id']}").json()["record"]
        assert record["rollout"] == rollout["id"]
        assert record["action"] == f"rollout.{change['action']}"
    for verb in ("pause", "resume", "abort"):
        check_problem(act(client, rollout["id"], verb), 409, "rollout-over")


@pytest.mark.parametrize(
    ("plan", "status", "code", "text"),
    [
        ({"guards": []}, 422, "plan-rejected", "needs a guard"),
        ({"guards": [{"kind": "speed", "margin": 2}]}, 422, "plan-rejected", "no guard 'speed'"),
        ({"guards": [{"kind": "score", "margin": 1, "output": "z"}]}, 422, "plan-rejected",
         "Guard 1 of the plan: score: there is no output 'z'"),
        ({"steps": [{"points": 10_001}]}, 422, "plan-rejected", "Step 1 of the plan"),
        ({"steps": [{"points": 9}, {"points": 8}]}, 422, "plan-rejected", "does not fall"),
        ({"colour": 1}, 422, "plan-rejected", "no member 'colour'"),
        ({"challenger": 9}, 404, "not-found", "no version 9"),
        ({"challenger": 1}, 409, "already-champion", "champion already"),
        ({"challenger": 3}, 409, "signature-differs", "its input 'x' is FP32 [-1, 4]"),
        ({"guards": [{"kind": "errors", "margin": 2}, {**LATENCY, "quantile": 0.999}]}, 409,
         "latency-unmeasured", "edge_ms"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_followed_is_refused_with_the_reason(
    client: httpx.Client, plan: dict[str, Any], status: int, code: str, text: str
) -> None:
    before = client.get("/admin/models/sum/rollouts").json()
    assert text in check_problem(start(client, **plan), status, code)["detail"]
    assert client.get("/admin/models/sum/rollouts").json() == before


def test_a_start_is_refused_where_it_contradicts_what_is_stored(
    client: httpx.Client, rollout: dict[str, Any]
) -> None:
    detail = check_problem(start(client), 409, "version-in-rollout")["detail"]
    assert rollout["id"] in detail
    check_problem(start(client, "none"), 404, "not-found")
    check_problem(start(client, "new", challenger=1), 409, "no-champion")
    retired = client.post("/admin/models/sum/promotions", json={"version": 9, "reason": "x"})
    check_problem(retired, 404)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"plan": {}}', b'{"plan": {}, "reason": 1}', b'{"plan": {"a": ',
     b'{"reason": "x", "plan": {}, "extra": 1}', b"\xff", b"[" * 20_000],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/admin/models/sum/rollouts", content=body)
    check_problem(answer, 400, "invalid-request")


@pytest.mark.parametrize(
    "plan",
    [b"1", b"null", b'"x"', b"{}", b'{"challenger": 1e400}', b'{"\xff": 1}', b"[" * 99 + b"]" * 99],
)
def test_a_plan_that_is_none_is_refused(client: httpx.Client, plan: bytes) -> None:
    content = b'{"reason": "x", "plan": %b}' % plan
    answer = client.post("/admin/models/sum/rollouts", content=content)
    check_problem(answer, 422, "plan-rejected")


def test_a_version_beyond_all_numbers_is_refused(client: httpx.Client) -> None:
    check_problem(start(client, challenger=10**30), 400, "invalid-request")


def test_a_reason_is_needed(client: httpx.Client, rollout: dict[str, Any]) -> None:
    path = f"/admin/rollouts/{rollout['id']}/pause"
    check_problem(client.post(path, json={"reason": " "}), 400, "invalid-request")
    check_problem(client.post(path, json={}), 400, "bad-request")
    body = {"plan": PLAN | {"challenger": 2}, "reason": ""}
    check_problem(client.post("/admin/models/sum/rollouts", json=body), 400, "invalid-request")


def test_a_rollout_that_is_none_is_not_found(client: httpx.Client) -> None:
    check_problem(client.get("/admin/rollouts/none"), 404, "not-found")
    check_problem(client.get("/admin/models/none/rollouts"), 404, "not-found")
    check_problem(act(client, "none", "abort"), 404, "not-found")


def test_the_latency_of_the_champion_is_measured_from_its_answers(client: httpx.Client) -> None:
    guards = [*PLAN["guards"], LATENCY]
    for _ in range(60):
        answer = client.post("/v2/models/sum/infer", json=infer_body([[1, 2, 3]]))
        assert answer.status_code == 200

    started = start(client, guards=guards)

    assert started.status_code == 201, started.text
    edges_us = started.json()["edges_us"]
    assert edges_us[:2] == [0, 0]
    assert 0 < edges_us[2] < 10_000_000
    assert act(client, started.json()["id"], "abort").status_code == 200
