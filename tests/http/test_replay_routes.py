"""`POST /audit/records/{id}/replay` on a real gateway."""

import httpx
import pytest

from tests.builders import infer_body
from tests.http.world import World, check_problem


def infer(client: httpx.Client, model: str, data: list[list[float]], status: int = 200) -> str:
    answer = client.post(f"/v2/models/{model}/infer", json=infer_body(data))
    assert answer.status_code == status, answer.text
    return answer.headers["x-record-id"]


def test_an_auditor_replays_an_answer_and_leaves_a_record(world: World) -> None:
    with world.client("invoker") as invoker:
        record_id = infer(invoker, "linear", [[1, 2, 3], [4, 5, 6]])

    with world.client("auditor") as auditor:
        answer = auditor.post(f"/audit/records/{record_id}/replay")
        found = auditor.get("/audit/records", params={"kind": "replay", "limit": 1}).json()

    assert answer.status_code == 200, answer.text
    replay = answer.json()
    assert (replay["result"], replay["record_id"]) == ("identical", record_id)
    assert replay["runtime"] == replay["recorded_runtime"]
    record = found["records"][0]["record"]
    assert (record["subject"], record["reason"]) == (record_id, "identical")
    assert (record["action"], record["model"], record["version"]) == ("replay", "linear", 1)
    assert record["principal"].startswith("key-")


def test_another_version_is_asked_by_number(client: httpx.Client) -> None:
    record_id = infer(client, "linear", [[1, 2, 3]])

    answer = client.post(f"/audit/records/{record_id}/replay", json={"version": 2})

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["result"], found["version"], found["recorded_version"]) == ("differs", 2, 1)
    assert found["outputs"][0]["max_absolute"] == 6.0


def test_a_refused_request_has_no_answer_to_compare_with(client: httpx.Client) -> None:
    record_id = infer(client, "guarded", [[-1, 2, 3]], status=400)

    found = client.post(f"/audit/records/{record_id}/replay").json()

    assert (found["result"], found["reason"]) == ("not_comparable", "outcome")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"version":0}', b'{"version":"1"}', b'{"other":1}', b"\xff"]
)
def test_a_body_that_asks_for_nothing_known_is_refused(client: httpx.Client, body: bytes) -> None:
    record_id = infer(client, "linear", [[1, 2, 3]])

    check_problem(client.post(f"/audit/records/{record_id}/replay", content=body), 400)


def test_what_does_not_exist_cannot_be_replayed(client: httpx.Client) -> None:
    record_id = infer(client, "linear", [[1, 2, 3]])

    check_problem(client.post("/audit/records/none/replay"), 404, "not-found")
    wanted = {"version": 99}
    check_problem(client.post(f"/audit/records/{record_id}/replay", json=wanted), 404, "not-found")


def test_an_auditor_gets_the_dossier_of_a_decision(world: World) -> None:
    with world.client("invoker") as invoker:
        record_id = infer(invoker, "guarded", [[1, 20, 3]])

    with world.client("auditor") as auditor:
        page = auditor.get(f"/audit/records/{record_id}/dossier")
        data = auditor.get(f"/audit/records/{record_id}/dossier", params={"format": "json"})
        other = auditor.get(f"/audit/records/{record_id}/dossier", params={"format": "pdf"})
        check_problem(auditor.get("/audit/records/none/dossier"), 404, "not-found")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "A rule flagged the input." in page.text
    dossier = data.json()
    assert dossier["record_id"] == record_id
    assert [one["standing"] for one in dossier["rules"]] == ["kept", "broken", "kept"]
    check_problem(other, 400, "bad-request")


def test_of_what_was_erased_there_is_no_replay_and_still_a_dossier(client: httpx.Client) -> None:
    body = infer_body([[1, 2, 3]]) | {"parameters": {"subject": "replay-person"}}
    record_id = client.post("/v2/models/linear/infer", json=body).headers["x-record-id"]
    erased = client.post("/audit/erasures", json={"subject": "replay-person", "reason": "asked"})
    assert erased.status_code == 200, erased.text

    check_problem(client.post(f"/audit/records/{record_id}/replay"), 410, "payload-erased")
    page = client.get(f"/audit/records/{record_id}/dossier")

    assert page.status_code == 200
    assert "was erased with its person" in page.text
