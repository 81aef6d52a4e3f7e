"""Destinations and deliveries over HTTP; what is told of a promotion by a running gateway."""

import json
from collections.abc import Iterator

import httpx
import pytest
from standardwebhooks import Webhook

from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from tests.builders import infer_body, linear_model, open_registry, publish
from tests.http.world import World, check_problem, publish_linear, serve_world
from tests.receiver import Receiver

LOW = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, high=10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway of its own, since champions move here: a champion of before goes on answering."""
    data_dir = tmp_path_factory.mktemp("told")
    tokens = publish_linear(data_dir)
    registry = open_registry(data_dir)
    publish(registry, "linear", linear_model(2.0), promote=False)
    publish(registry, "capped", linear_model(), Draft(contract=Contract(rules=(LOW,))))
    registry.store.close()
    with serve_world(data_dir, tokens) as world:
        yield world


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with world.client() as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def admin(client: httpx.Client) -> Iterator[httpx.Client]:
    yield client
    for one in client.get("/admin/destinations").json():
        client.delete(f"/admin/destinations/{one['name']}")


def add(admin: httpx.Client, name: str, url: str, **wanted: object) -> dict[str, str]:
    answer = admin.post("/admin/destinations", json={"name": name, "url": url, **wanted})
    assert answer.status_code == 201, answer.text
    created: dict[str, str] = answer.json()
    return created


def move_and_back(client: httpx.Client) -> None:
    """Let there be news of the model `linear`, and its champion be what it was."""
    before = client.get("/admin/models/linear").json()["aliases"]["champion"]
    versions = client.get("/admin/models/linear").json()["versions"]
    other = next(
        one["number"] for one in versions
        if one["number"] != before and one["state"] == "published"
    )  # fmt: skip
    for version in (other, before):
        answer = client.post(
            "/admin/models/linear/promotions", json={"version": version, "reason": "news"}
        )
        assert answer.status_code == 200, answer.text


def test_a_running_gateway_tells_of_a_promotion_with_a_call_that_undoes_it(
    admin: httpx.Client, receiver: Receiver, world: World
) -> None:
    created = add(admin, "ops", receiver.url, models=["linear"], types=["champion.moved"])
    move_and_back(admin)

    first, _ = receiver.wait_for(2)
    event = Webhook(created["secret"]).verify(first.body, dict(first.headers.items()))
    assert event["type"] == "champion.moved"
    assert event["source"] == world.registry.store.origins()[-1].name
    call = event["data"]["rollback"]
    answer = admin.request(call["method"], call["path"], json=call["body"])
    # It is the first of two moves, and the second has undone it already.
    check_problem(answer, 409, "nothing-to-roll-back-to")
    record = admin.get(f"/audit/records/{event['data']['record_id']}").json()["record"]
    assert (record["action"], record["model"]) == ("promote", "linear")


def test_the_call_that_a_message_carries_is_taken_as_it_is(
    admin: httpx.Client, receiver: Receiver
) -> None:
    add(admin, "ops", receiver.url, types=["model.unloaded", "model.loaded"])
    assert admin.post("/v2/repository/models/linear/unload").status_code == 200
    call = json.loads(receiver.wait_for(1)[0].body)["data"]["rollback"]

    answer = admin.request(call["method"], call["path"], json=call["body"])

    assert answer.status_code == 200, answer.text
    assert json.loads(receiver.wait_for(2)[1].body)["type"] == "model.loaded"
    assert admin.get("/v2/models/linear/ready").status_code == 200


def test_rules_that_would_refuse_too_much_are_told_of_once_they_only_flag(
    admin: httpx.Client, receiver: Receiver
) -> None:
    add(admin, "ops", receiver.url, models=["capped"], types=["contract.suspended"])
    body = infer_body([[99, 2, 3]])
    statuses = [admin.post("/v2/models/capped/infer", json=body).status_code for _ in range(210)]
    assert (statuses[0], statuses[-1]) == (400, 200)

    event = json.loads(receiver.wait_for(1)[0].body)
    assert event["type"] == "contract.suspended"
    record = admin.get(f"/audit/records/{event['data']['record_id']}").json()["record"]
    assert (record["action"], record["principal"]) == ("contract.suspend", "controller")
    assert (record["model"], record["version"]) == ("capped", 1)
    assert record["reason"].endswith("requests would be refused")


def test_a_key_is_shown_once_and_an_address_of_slack_never(
    admin: httpx.Client, receiver: Receiver
) -> None:
    created = add(admin, "ops", receiver.url)
    assert created["secret"].startswith("whsec_")
    chat = add(admin, "chat", receiver.url + "/token", form="slack")
    assert chat["secret"] is None

    for path in ("/admin/destinations", "/admin/deliveries", "/audit/records?limit=100"):
        text = admin.get(path).text
        assert created["secret"].removeprefix("whsec_") not in text
        assert "/token" not in text
    listed = {one["name"]: one for one in admin.get("/admin/destinations").json()}
    assert listed["ops"]["url"] == receiver.url
    assert "secret" not in listed["ops"]


def test_deliveries_are_listed_by_state_and_sent_again(
    admin: httpx.Client, receiver: Receiver
) -> None:
    add(admin, "ops", receiver.url, models=["linear"])
    move_and_back(admin)
    first, second = receiver.wait_for(2)

    page = admin.get("/admin/deliveries?limit=1").json()
    assert [one["event"]["id"] for one in page["deliveries"]] == [second.id]
    page = admin.get(f"/admin/deliveries?limit=1&before={page['before']}").json()
    [oldest] = page["deliveries"]
    assert oldest["event"]["id"] == first.id
    assert admin.get("/admin/deliveries?state=dead").json() == {"deliveries": [], "before": None}

    answer = admin.post(f"/admin/deliveries/{oldest['number']}/retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert receiver.wait_for(3)[2].id == first.id
    assert 'gateway_deliveries{destination="ops",state="' in admin.get("/metrics").text


def test_a_destination_is_removed_once(admin: httpx.Client, receiver: Receiver) -> None:
    add(admin, "ops", receiver.url)
    assert admin.post("/admin/destinations/ops/resume").json()["paused"] is None
    assert admin.delete("/admin/destinations/ops").status_code == 204
    check_problem(admin.delete("/admin/destinations/ops"), 404, "not-found")
    check_problem(admin.post("/admin/destinations/ops/resume"), 404, "not-found")
    check_problem(admin.post("/admin/deliveries/999999/retry"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": "x"}, 400),
        ({"name": "x", "url": "http://receiver.example/"}, 400),
        ({"name": "x", "url": "file:///etc/passwd"}, 400),
        ({"name": "../x", "url": "https://receiver.example/"}, 400),
        ({"name": "x", "url": "https://receiver.example/", "types": ["test"]}, 400),
        ({"name": "x", "url": "https://receiver.example/", "types": ["none"]}, 400),
        ({"name": "x", "url": "https://receiver.example/", "form": "mail"}, 400),
        ({"name": "x", "url": "https://receiver.example/", "extra": 1}, 400),
        ({"name": "x", "url": "https://receiver.example/", "models": ["none"]}, 404),
        ([], 400),
    ],
)
def test_what_is_no_destination_is_refused(admin: httpx.Client, body: object, status: int) -> None:
    check_problem(admin.post("/admin/destinations", content=json.dumps(body)), status)
    assert admin.get("/admin/destinations").json() == []


def test_the_same_name_twice_is_a_conflict(admin: httpx.Client, receiver: Receiver) -> None:
    add(admin, "ops", receiver.url)
    answer = admin.post("/admin/destinations", json={"name": "ops", "url": receiver.url})
    check_problem(answer, 409, "conflict")


@pytest.mark.parametrize(
    "query", ["state=none", "before=0", "before=x", "limit=0", "limit=1001", "before=" + "9" * 30]
)
def test_a_query_that_makes_no_sense_is_refused(client: httpx.Client, query: str) -> None:
    check_problem(client.get(f"/admin/deliveries?{query}"), 400)
