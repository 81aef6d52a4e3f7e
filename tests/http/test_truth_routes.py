"""Ground truth from end to end: answers of a real gateway, labels, a report, the log."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.http.truth import FEEDBACK_LIMIT
from registry.truth import MOST_LABELS
from tests.builders import (
    Gateway,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.conformance import check_conformance
from tests.http.world import check_alive, check_problem

FEEDBACK = "/v2/models/scored/feedback"
TRUTH = "/admin/models/scored/truth"
POLICY = {"kind": "classes", "horizon_s": 0, "slices": [{"name": "site"}]}
HOSTILE = [
    b"", b"{", b"[]", b"null", b"{}", b"\xff", b'{"labels":1}', b'{"labels":[]}', b'{"labels":[1]}',
    b'{"labels":[{}]}', b'{"labels":[{"record_id":1,"value":1}]}', b"[" * 60_000,
    b'{"labels":[{"record_id":"x","value":1,"row":"0"}]}',
    b'{"labels":[{"record_id":"x","value":1,"row":1.5}]}',
    b'{"labels":[{"record_id":"x","value":1e400}]}',
    b'{"labels":[{"record_id":"x","value":"\\ud800"}]}',
    b'{"labels":[{"record_id":"x","value":1,"slices":{"a":1}}]}',
    b'{"labels":[{"record_id":"x","value":1,"more":1}]}',
    b'{"labels":[{"record_id":"x","value":' + b"[" * 5_000 + b"]" * 5_000 + b"}]}",
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    folder = tmp_path_factory.mktemp("truth")
    registry = open_registry(folder)
    publish(registry, "scored", linear_model(0.1))
    publish(registry, "other", linear_model())
    token = add_key(registry)
    registry.store.close()
    with serving(folder) as gateway:
        yield gateway, token


@pytest.fixture
def client(gateway: tuple[Gateway, str]) -> Iterator[httpx.Client]:
    with gateway[0].client(gateway[1]) as client:
        client.event_hooks = {"response": [check_conformance]}
        answer = client.put("/admin/models/scored/truth-policy", json=POLICY)
        assert answer.status_code == 200, answer.text
        yield client


def ask(client: httpx.Client, *sums: float, model: str = "scored") -> str:
    """Have rows answered whose probabilities are a tenth of what is given; return the record."""
    body = infer_body([[one, 0, 0] for one in sums])
    answer = client.post(f"/v2/models/{model}/infer", json=body)
    assert answer.status_code == 200, answer.text
    record_id: str = answer.json()["parameters"]["record_id"]
    return record_id


def tell(client: httpx.Client, *labels: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(FEEDBACK, json={"labels": labels})
    assert answer.status_code == 200, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def test_answers_are_scored_by_labels_that_come_after_them(client: httpx.Client) -> None:
    record = ask(client, 9, 8, 1)  # labelled at once, whether it is in the store by then or not

    taken = tell(
        client,
        {"record_id": record, "value": True},
        {"record_id": record, "row": 1, "value": 0, "slices": {"site": "A"}},
        {"record_id": record, "row": 2, "value": 0},
        {"record_id": record, "row": 3, "value": 0},
        {"record_id": ask(client, 1, model="other"), "value": 0},
        {"record_id": record, "value": "perhaps"},
    )
    corrected = tell(client, {"record_id": record, "row": 1, "value": 1})

    assert (taken["new"], taken["repeated"], taken["corrected"]) == (3, 0, 0)
    assert [(one["index"], one["code"]) for one in taken["refused"]] == [
        (3, "row-out-of-range"), (4, "record-of-another-model"), (5, "label-not-accepted"),
    ]  # fmt: skip
    assert (corrected["new"], corrected["corrected"]) == (0, 1)
    history = client.get(f"/audit/records/{record}/labels").json()["labels"]
    assert [(one["label"]["row"], one["label"]["value"]) for one in history] == [
        (0, 1), (1, 0), (1, 1), (2, 0),
    ]  # fmt: skip
    told = client.get(f"/audit/records/{taken['record_id']}").json()["record"]
    assert (told["kind"], told["model"], told["count"]) == ("feedback", "scored", 3)
    assert len(told["input"]) == 64
    check_report(client, record)


def check_report(client: httpx.Client, record: str) -> None:
    """A report has the three rows once their record is in the store."""
    proof = f"/audit/records/{record}/proof"
    while client.get(proof).status_code == 409:
        pass  # each asking waits for its answer
    answer = client.get(TRUTH, params={"window": "1h"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["lacking"], found["matured"]["scored"]) == (None, 3)
    assert found["matured"]["estimates"][0]["metric"] == "accuracy"
    assert found["matured"]["estimates"][0]["value"] == 1.0
    assert found["calibration"]["bins"]
    assert found["arrivals"]["refused"]["row-out-of-range"] == 1


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:50]))
def test_a_bad_batch_is_refused_as_a_whole(client: httpx.Client, body: bytes) -> None:
    answer = client.post(FEEDBACK, content=body, headers={"content-type": "application/json"})

    check_problem(answer, 400, "invalid-request")
    check_alive(client)


def test_a_batch_is_bounded(client: httpx.Client) -> None:
    one = {"record_id": "x", "value": 1}
    full = client.post(FEEDBACK, json={"labels": [one] * MOST_LABELS}).json()
    above = client.post(FEEDBACK, json={"labels": [one] * (MOST_LABELS + 1)})
    larger = client.post(FEEDBACK, content=b" " * (FEEDBACK_LIMIT + 1))

    assert len(full["refused"]) == MOST_LABELS
    check_problem(above, 400, "invalid-request")
    check_problem(larger, 413, "body-too-large")
    missing = client.post("/v2/models/none/feedback", json={"labels": [one]})
    check_problem(missing, 404, "not-found")


def test_a_report_that_cannot_be_made_is_an_error_in_the_one_shape(client: httpx.Client) -> None:
    check_problem(client.get("/admin/models/none/truth"), 404, "not-found")
    check_problem(client.get(TRUTH, params={"version": 9}), 404, "not-found")
    check_problem(client.get(TRUTH, params={"window": "1y"}), 400, "invalid-request")
    for wrong in ({"lane": "lagoon"}, {"version": 0}):
        check_problem(client.get(TRUTH, params=wrong), 400, "bad-request")
    check_problem(client.get("/audit/records/none/labels"), 404, "not-found")


def test_a_policy_is_shown_as_it_is_and_refused_by_the_member_that_is_wrong(
    client: httpx.Client,
) -> None:
    path = "/admin/models/scored/truth-policy"

    shown = client.get(path).json()

    assert (shown["kind"], shown["horizon_s"], shown["threshold"]) == ("classes", 0, 0.5)
    for wrong in ({"horizon_s": -1}, {"kind": "texts"}, {"tau": 1}, {"output": "q"}):
        check_problem(client.put(path, json=wrong), 400, "invalid-request")
    assert client.get(path).json() == shown


def test_the_report_is_described(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    answer = described["paths"]["/admin/models/{model}/truth"]["get"]["responses"]["200"]

    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/TruthReport")
