"""Policy, erasure and hold through a running gateway: what a person can count on from outside."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from gateway.cli import main
from registry.store import open_store
from tests.builders import (
    Gateway,
    add_key,
    linear_model,
    open_registry,
    publish,
    serving,
    two_input_model,
)
from tests.privacy.people import found
from tests.privacy.tree import root_of, stored_root

SECRET = "Zebedee Quux 1971"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, httpx.Client]]:
    data_dir = tmp_path_factory.mktemp("data")
    registry = open_registry(data_dir)
    publish(registry, "two", two_input_model())
    publish(registry, "linear", linear_model())
    token = add_key(registry)
    registry.store.close()
    with (
        serving(data_dir, "--segment-age", "0.5", workers=2) as gateway,
        gateway.client(token) as client,
    ):
        yield gateway, client


@pytest.fixture
def client(served: tuple[Gateway, httpx.Client]) -> httpx.Client:
    return served[1]


def ask(client: httpx.Client, carrier: str, **parameters: Any) -> str:
    """Ask the model `two`, and return the id of the record."""
    inputs = [
        {"name": "distance", "datatype": "FP32", "shape": [1, 1], "data": [2500.0]},
        {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": [carrier]},
    ]
    body = {"inputs": inputs, "parameters": parameters}
    answer = client.post("/v2/models/two/infer", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-record-id"])


def payload(client: httpx.Client, record_id: str) -> httpx.Response:
    return client.get(f"/audit/records/{record_id}/payload")


def read(answer: httpx.Response) -> Any:
    """Return what an answer says; a refusal is shown as it is."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_an_erased_person_is_in_no_file_and_their_records_verify(
    served: tuple[Gateway, httpx.Client],
) -> None:
    gateway, client = served
    record_ids = [ask(client, f"{SECRET} {number}", subject="Zebedee") for number in range(20)]
    other = ask(client, "OO", subject="Ann")
    nobody = ask(client, "UA")
    wanted = {"plaintext": [SECRET.encode()], "name": [b"Zebedee"]}
    shown = payload(client, record_ids[0]).json()
    assert shown["committed"] is True
    wanted["salt"] = [bytes.fromhex(shown["salt"])]

    erased = client.post("/audit/erasures", json={"subject": "Zebedee", "reason": "asked"})

    assert erased.status_code == 200, erased.text
    done = erased.json()
    assert (done["payloads"], done["is_scrubbed"], done["damaged"]) == (20, True, [])
    assert found(gateway.data_dir, wanted) == {"plaintext": 0, "name": 0, "salt": 0}
    for record_id in record_ids:
        assert code(payload(client, record_id)) == (410, "payload-erased")
        assert client.get(f"/audit/records/{record_id}").status_code == 200
    record = client.get(f"/audit/records/{done['record_id']}").json()["record"]
    assert (record["kind"], record["subject"]) == ("erasure", done["subject_id"])
    assert (record["count"], record["reason"]) == (20, "asked")
    for record_id in (other, nobody):
        assert payload(client, record_id).json()["committed"] is True
    store = open_store(gateway.data_dir)
    with store.snapshot() as view:
        size = view.tree_size()
        assert stored_root(view, size) == root_of(view.leaves(0, size))
    store.close()


def test_what_comes_after_an_erasure_is_of_a_new_key(client: httpx.Client) -> None:
    before = ask(client, "one", subject="Ben")
    first = client.post("/audit/erasures", json={"subject": "Ben", "reason": "asked"}).json()
    after = ask(client, "two", subject="Ben")

    assert code(payload(client, before)) == (410, "payload-erased")
    assert payload(client, after).json()["inputs"][1]["data"] == ["two"]
    second = client.post("/audit/erasures", json={"subject": "Ben", "reason": "again"}).json()
    assert second["payloads"] == 1
    assert first["subject_id"] != second["subject_id"]
    nothing = client.post("/audit/erasures", json={"subject": "Ben", "reason": "again"})
    assert code(nothing) == (404, "not-found")


def test_nothing_is_erased_under_hold(client: httpx.Client) -> None:
    kept = ask(client, "held", subject="Cas")
    held = client.post("/admin/models/two/hold", json={"reason": "a suit"})
    assert held.json()["hold"] == "a suit"
    while client.get(f"/audit/records/{kept}").json()["index"] is None:
        pass  # once it is in the store, the refusal need not wait for the journal

    refused = client.post("/audit/erasures", json={"subject": "Cas", "reason": "asked"})

    assert code(refused) == (409, "under-hold")
    assert payload(client, kept).json()["committed"] is True
    lifted = client.post("/admin/models/two/hold/lift", json={"reason": "settled"})
    assert lifted.json()["hold"] is None
    erased = client.post("/audit/erasures", json={"subject": "Cas", "reason": "asked"})
    assert erased.status_code == 200
    actions = [
        (found["record"]["action"], found["record"]["reason"])
        for found in client.get("/audit/records?kind=admin&limit=2").json()["records"]
    ]
    assert actions == [("hold.lift", "settled"), ("hold.set", "a suit")]


def test_a_policy_holds_for_the_next_request_of_every_worker(
    served: tuple[Gateway, httpx.Client],
) -> None:
    gateway, client = served
    token = client.headers["authorization"].removeprefix("Bearer ")
    path = "/admin/models/two/payload-policy"
    kept = {"inputs": {"carrier": {"how": "drop"}, "distance": {"how": "bucket", "edges": [1000]}}}
    try:
        assert read(client.put(path, json=kept)) == kept
        assert read(client.get(path)) == kept
        for _ in range(8):
            # A connection of its own each time, so that either worker may answer.
            with gateway.client(token) as other:
                record_id = ask(other, SECRET)
            assert read(payload(client, record_id))["inputs"] == [
                {"name": "distance", "datatype": "FP32", "shape": [1, 1], "data": [1000.0]}
            ]
            record = read(client.get(f"/audit/records/{record_id}"))["record"]
            assert record["reduced"] == ["distance:bucket", "carrier:drop"]
    finally:
        assert read(client.put(path, json={})) == {}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"inputs": {"age": {"how": "drop"}}}, "no input 'age'"),
        ({"inputs": {"carrier": {"how": "bucket", "edges": [1]}}}, "'carrier'"),
        ({"mode": "none"}, "'none'"),
        ({"modes": "full"}, "modes"),
        ([], "object"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_is_refused(
    client: httpx.Client, body: Any, fault: str
) -> None:
    answer = client.put("/admin/models/two/payload-policy", json=body)

    assert code(answer) == (400, "invalid-request")
    assert fault in answer.json()["detail"]


def test_retention_is_set_by_preset_or_by_days(client: httpx.Client) -> None:
    path = "/admin/models/linear/retention"
    preset = client.put(path, json={"preset": "eu-ai-act"}).json()
    assert (preset["payload_days"], preset["record_days"]) == (183, 183)
    own = client.put(path, json={"payload_days": 10}).json()
    assert (own["preset"], own["payload_days"], own["record_days"]) == (None, 10, None)
    assert code(client.put(path, json={"preset": "eu"})) == (400, "invalid-request")
    assert client.put(path, json={}).json() == client.get(path).json()
    assert code(client.get("/admin/models/none/retention")) == (404, "not-found")


def run(data_dir: Path, *command: str) -> str:
    done = CliRunner().invoke(main, ["audit", *command, "--data-dir", str(data_dir)])
    assert done.exit_code == 0, done.output
    return done.output


def test_commands_do_the_same_where_nothing_is_served(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "two", two_input_model())
    token = add_key(registry)
    registry.store.close()
    policy = tmp_path.parent / "policy.json"
    policy.write_text('{"inputs": {"distance": {"how": "drop"}}}')
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        run(tmp_path, "policy", "two", "--set", str(policy))
        ask(client, SECRET, subject="Zebedee")
        gateway.kill_group()

    assert "drop" in run(tmp_path, "policy", "two")
    assert "1 payloads are erased" in run(tmp_path, "erase", "Zebedee", "--reason", "asked")
    assert found(tmp_path, {"plaintext": [SECRET.encode()]}) == {"plaintext": 0}
    assert '"hipaa"' in run(tmp_path, "retention", "two", "--preset", "hipaa")
    assert "under legal hold" in run(tmp_path, "hold", "two", "--reason", "a suit")
    assert "no longer" in run(tmp_path, "hold", "two", "--reason", "settled", "--lift")
