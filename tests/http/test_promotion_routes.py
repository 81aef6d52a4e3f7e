"""Promotions by two people over HTTP, and what makes admin writes safe to send again."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from gateway.security import Role, make_key
from registry.recording import append_record
from registry.registry import Registry
from registry.times import now
from tests.builders import (
    AUTHOR,
    PATIENCE_S,
    Gateway,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.world import check_problem

TWO = {"second_person": True, "break_glass": "admin", "certificate": True}
NAMES: dict[str, tuple[str | None, tuple[Role, ...]]] = {
    "ann": ("ann", (Role.DEPLOYER, Role.VIEWER)),
    "ann again": ("ann", (Role.APPROVER, Role.DEPLOYER)),
    "ben": (None, (Role.APPROVER, Role.DEPLOYER)),
    "admin": (None, tuple(Role)),
}


class Served:
    """A gateway with a client for each person."""

    def __init__(self, gateway: Gateway, clients: dict[str, httpx.Client], model: str) -> None:
        self.gateway = gateway
        self.clients = clients
        self.model = model

    def post(self, who: str, path: str, **options: Any) -> httpx.Response:
        return self.clients[who].post(path, **options)

    def ask(self, version: int = 2, who: str = "ann", **options: Any) -> httpx.Response:
        body = {"version": version, "reason": "it is better"}
        return self.post(who, f"/admin/models/{self.model}/promotions", json=body, **options)

    def decide(self, promotion: str, verb: str = "approve", who: str = "ben") -> httpx.Response:
        path = f"/admin/promotions/{promotion}/{verb}"
        return self.post(who, path, json={"reason": f"to {verb}"})

    def model_view(self) -> httpx.Response:
        return self.clients["ann"].get(f"/admin/models/{self.model}")

    def champion(self) -> int:
        champion: int = self.model_view().json()["aliases"]["champion"]
        return champion

    def history(self) -> list[Any]:
        answer = self.clients["ann"].get(f"/admin/models/{self.model}/history")
        changes: list[Any] = answer.json()["changes"]
        return changes

    def set_policy(self, **policy: Any) -> None:
        path = f"/admin/models/{self.model}/promotion-policy"
        answer = self.clients["admin"].put(path, json=policy)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Registry, Any]]:
    folder: Path = tmp_path_factory.mktemp("promotions")
    registry = open_registry(folder)
    tokens = {}
    for name, (owner, roles) in NAMES.items():
        key, tokens[name] = make_key(
            name=name, roles=roles, author="a test", created=now(), owner=owner
        )
        registry.add_key(key, AUTHOR)
    publish(registry, "first", linear_model())
    with serving(folder) as gateway:
        clients = {name: gateway.client(token) for name, token in tokens.items()}
        yield gateway, registry, clients
        for client in clients.values():
            client.close()
    registry.store.close()


@pytest.fixture
def served(running: tuple[Gateway, Registry, Any], request: pytest.FixtureRequest) -> Served:
    """A model of the test's own, with a champion and two versions more, held by a policy."""
    gateway, registry, clients = running
    model = f"m{abs(hash(request.node.name)) % 10**8}"
    like = registry.version("first", 1)  # admission takes longer than any of these tests
    for number in (1, 2, 3):
        version = replace(like, model=model, number=number)
        with registry.store.write() as tx:
            tx.add_version(version)
            append_record(tx, "publish", AUTHOR, now(), version=version)
    registry.promote(model, 1, "the first", AUTHOR)
    served = Served(gateway, clients, model)
    served.set_policy(**TWO)
    return served


def test_a_promotion_waits_for_another_person_who_sees_what_it_stands_on(served: Served) -> None:
    asked = served.ask()
    assert asked.status_code == 202, asked.text
    promotion = asked.json()

    seen = served.clients["ben"].get(f"/admin/promotions/{promotion['id']}").json()
    assert seen["promotion"] == promotion
    assert seen["changes"] == []
    assert promotion["evidence"]["certificate"]["run_ms"] > 0
    assert {check["name"]: check["is_met"] for check in promotion["checks"]} == {
        "findings": True, "certificate": True,
    }  # fmt: skip
    listed = served.clients["ben"].get("/admin/promotions", params={"model": served.model})
    assert [one["promotion"]["id"] for one in listed.json()] == [promotion["id"]]
    assert served.champion() == 1

    change = served.decide(promotion["id"]).json()

    assert (change["version"], change["reason"]) == (2, "it is better")
    assert served.champion() == 2
    every = served.clients["ben"].get(
        "/admin/promotions", params={"model": served.model, "state": "all"}
    )
    [ended] = every.json()
    assert ended["promotion"]["state"] == "approved"


def test_hostile_decisions_are_each_refused_in_words_and_change_nothing(served: Served) -> None:
    promotion = served.ask().json()["id"]
    before = served.history()

    own = check_problem(served.decide(promotion, who="ann again"), 403, "self-approval")
    assert "another person" in own["detail"]
    check_problem(served.decide(promotion, who="ann"), 403, "forbidden")
    check_problem(served.decide("none"), 404, "not-found")
    listed = served.clients["ben"].get("/admin/promotions", params={"model": "none"})
    check_problem(listed, 404, "not-found")
    check_problem(served.ask(), 409, "promotion-pending")
    check_problem(served.ask(9), 404, "not-found")
    check_problem(served.ask(1), 409, "already-champion")
    forced = {"version": 2, "reason": "a fire", "by_force": True}
    path = f"/admin/models/{served.model}/promotions"
    check_problem(served.post("ben", path, json=forced), 403, "force-not-allowed")
    assert served.history() == before

    served.set_policy(**TWO, request_hours=1)
    check_problem(served.decide(promotion), 409, "promotion-stale")
    again = served.ask().json()["id"]
    assert served.decide(again, "reject").json()["state"] == "rejected"
    for verb in ("approve", "reject"):
        check_problem(served.decide(again, verb), 409, "promotion-decided")
    assert served.history() == before


def test_a_request_that_lacks_something_is_told_what(served: Served) -> None:
    path = f"/admin/models/{served.model}/promotions"
    for body, said in (
        ({"version": 2}, "body: Object missing required field 'reason'."),
        ({"version": 2, "reason": 1}, "reason: Expected 'str', got 'int'."),
        ({"version": 2, "reason": "x", "z": 1}, "body: Object contains unknown field 'z'."),
        ([], "body: Expected 'object', got 'array'."),
    ):
        problem = check_problem(served.post("ann", path, json=body), 400, "bad-request")
        assert problem["detail"] == f"The request is not what this route takes: {said}"
    problem = check_problem(served.post("ann", path), 400, "bad-request")
    assert problem["detail"].endswith("takes: a body is needed.")
    problem = check_problem(served.ask(params={"dry_run": "maybe"}), 400, "bad-request")
    assert problem["detail"].endswith("takes: dry_run: Expected 'bool', got 'str'.")


def test_the_controller_ends_what_nobody_decided_in_time(served: Served) -> None:
    served.set_policy(**TWO, request_hours=0.05 / 3600)
    promotion = served.ask().json()["id"]
    path = f"/admin/promotions/{promotion}"

    deadline = time.monotonic() + PATIENCE_S
    while served.clients["ben"].get(path).json()["promotion"]["state"] == "pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)

    ended = served.clients["ben"].get(path).json()["promotion"]
    assert (ended["state"], ended["by"]) == ("expired", "controller")
    assert served.champion() == 1


def test_what_the_policy_asks_and_is_not_there_holds(served: Served) -> None:
    served.set_policy(rollout={"shadow_requests": 1000}, break_glass="nobody")

    problem = check_problem(served.ask(), 409, "promotion-held")

    assert "at least 1,000 shadow requests (0 came)" in problem["detail"]
    assert served.champion() == 1


def test_a_policy_that_cannot_be_obeyed_is_refused_with_the_member(served: Served) -> None:
    path = f"/admin/models/{served.model}/promotion-policy"
    client = served.clients["admin"]
    for policy, member in (
        ({"request_hours": 0}, "request_hours"),
        ({"break_glass": "root"}, "break_glass"),
        ({"rollout": {"shadow_requests": -1}}, "rollout.shadow_requests"),
        ({"truth": [{"metric": "absolute_error"}]}, "truth.0"),
        ({"truth": [{"metric": "absolute_error", "at_most": 1}] * 2}, "truth.1.metric"),
        ({"unknown": 1}, "unknown"),
        ({"rollout": {"guards": ["speed"]}}, "guards"),
    ):
        assert member in check_problem(client.put(path, json=policy), 400)["detail"]
    assert client.get(path).json()["second_person"] is True


def test_of_approvals_that_race_one_moves_the_champion(served: Served) -> None:
    promotion = served.ask().json()["id"]
    before = len(served.history())
    start = threading.Barrier(6)

    def approve(_: int) -> int:
        with served.gateway.client() as client:
            client.headers["authorization"] = served.clients["ben"].headers["authorization"]
            start.wait()
            path = f"/admin/promotions/{promotion}/approve"
            return client.post(path, json={"reason": "fine"}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(approve, range(6)))

    assert statuses == [200, 409, 409, 409, 409, 409]
    assert len(served.history()) == before + 1


def test_the_same_request_under_a_key_is_done_once_and_answered_alike(served: Served) -> None:
    headers = {"idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first = served.ask(headers=headers)
    again = served.ask(headers=headers)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotent-replayed" not in first.headers
    # Who sent it belongs to the key: another person's is another request.
    check_problem(served.ask(who="ben", headers=headers), 409, "promotion-pending")


def test_a_refusal_under_a_key_is_answered_alike_as_well(served: Served) -> None:
    headers = {"idempotency-key": "a-refusal"}
    check_problem(served.ask(1, headers=headers), 409, "already-champion")
    again = served.ask(1, headers=headers)

    check_problem(again, 409, "already-champion")
    assert again.headers["idempotent-replayed"] == "true"


def test_a_key_that_stands_for_another_request_is_refused_and_nothing_is_done(
    served: Served,
) -> None:
    headers = {"idempotency-key": "one-of-mine"}
    promotion = served.ask(headers=headers).json()["id"]
    before = served.history()

    check_problem(served.ask(3, headers=headers), 422, "idempotency-key-reused")
    path = f"/admin/models/{served.model}/rollback"
    other = served.post("ann", path, json={"reason": "back"}, headers=headers)
    check_problem(other, 422, "idempotency-key-reused")
    tried = served.ask(headers=headers, params={"dry_run": "true"})
    check_problem(tried, 422, "idempotency-key-reused")

    assert served.history() == before
    listed = served.clients["ben"].get("/admin/promotions", params={"model": served.model})
    assert [one["promotion"]["id"] for one in listed.json()] == [promotion]


@pytest.mark.parametrize("key", ["", '""', "x" * 201, '"open', "a b", '"\\"'])
def test_a_key_that_cannot_be_read_is_refused(served: Served, key: str) -> None:
    check_problem(served.ask(headers={"idempotency-key": key}), 400, "invalid-request")
    assert served.clients["ben"].get(
        "/admin/promotions", params={"model": served.model}
    ).json() == []  # fmt: skip


def test_a_request_under_two_keys_is_refused(served: Served) -> None:
    two = [("idempotency-key", "one"), ("idempotency-key", "two")]
    check_problem(served.ask(headers=two), 400, "invalid-request")


def test_an_answer_that_shows_a_secret_is_not_kept_and_not_made_twice(served: Served) -> None:
    body = {"name": "shown once", "roles": ["viewer"], "owner": "dora"}
    headers = {"idempotency-key": "a-new-key"}
    first = served.post("admin", "/admin/keys", json=body, headers=headers)
    again = served.post("admin", "/admin/keys", json=body, headers=headers)

    assert first.status_code == 201
    check_problem(again, 409, "idempotency-key-busy")
    keys = served.clients["admin"].get("/admin/keys").json()
    assert [one["owner"] for one in keys if one["name"] == "shown once"] == ["dora"]
    token = first.json()["token"]
    for path in served.gateway.data_dir.glob("store.sqlite3*"):
        assert token.encode() not in path.read_bytes()


def test_requests_that_race_under_one_key_are_done_once(served: Served) -> None:
    served.set_policy()
    before = len(served.history())
    start = threading.Barrier(6)

    def promote(_: int) -> tuple[int, str]:
        with served.gateway.client() as client:
            client.headers["authorization"] = served.clients["ann"].headers["authorization"]
            start.wait()
            answer = client.post(
                f"/admin/models/{served.model}/promotions",
                json={"version": 2, "reason": "at once"},
                headers={"idempotency-key": "a-race"},
            )
            return answer.status_code, answer.json().get("code", "done")

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(promote, range(6)))

    assert set(outcomes) <= {(200, "done"), (409, "idempotency-key-busy")}
    assert (200, "done") in outcomes
    assert len(served.history()) == before + 1


def test_a_change_meant_for_another_state_is_refused(served: Served) -> None:
    served.set_policy()
    seen = served.model_view().headers["etag"]
    assert served.model_view().headers["etag"] == seen

    assert served.ask(headers={"if-match": seen}).status_code == 200
    late = served.ask(3, headers={"if-match": seen})

    assert "look at it again" in check_problem(late, 412, "state-changed")["detail"]
    assert served.champion() == 2
    present = served.model_view().headers["etag"]
    listed = {"if-match": f'"other", {present}'}
    assert served.ask(3, headers=listed).status_code == 200
    assert served.ask(2, headers={"if-match": "*"}).status_code == 200
    check_problem(served.ask(3, headers={"if-match": f"W/{present}"}), 412, "state-changed")


def test_every_change_of_a_model_changes_its_tag(served: Served) -> None:
    tags = [served.model_view().headers["etag"]]

    def changed() -> bool:
        tags.append(served.model_view().headers["etag"])
        return tags[-1] not in tags[:-1]

    asked = served.ask().json()["id"]
    assert changed()
    served.decide(asked)
    assert changed()
    served.set_policy(**TWO, request_hours=5)
    assert changed()
    path = f"/admin/models/{served.model}"
    alias = {"version": 3, "reason": "to look at"}
    assert served.clients["ann"].put(f"{path}/aliases/next", json=alias).status_code == 200
    assert changed()
    assert served.post("ann", f"{path}/rollback", json={"reason": "back"}).status_code == 200
    assert changed()


def test_a_condition_in_two_headers_is_one_list(served: Served) -> None:
    present = served.model_view().headers["etag"]
    either = [("if-match", '"other"'), ("if-match", present)]
    neither = [("if-match", '"other"'), ("if-match", '"another"')]

    check_problem(served.ask(headers=neither), 412, "state-changed")
    assert served.ask(headers=either).status_code == 202


# A program that lost the tag it was given must not change whatever is there.
@pytest.mark.parametrize("tag", ["", "plain", '"open', 'a"b"', '"a" "b"'])
def test_a_condition_that_cannot_be_read_or_held_is_refused(served: Served, tag: str) -> None:
    check_problem(served.ask(headers={"if-match": tag}), 400, "invalid-request")
    body = {"name": "x", "roles": ["viewer"]}
    of_none = served.post("admin", "/admin/keys", json=body, headers={"if-match": '"a"'})
    check_problem(of_none, 400, "invalid-request")


def test_a_dry_run_shows_plan_and_checks_and_changes_nothing(served: Served) -> None:
    tag, before = served.model_view().headers["etag"], served.history()
    dry = {"params": {"dry_run": "true"}}

    asked = served.ask(**dry).json()
    assert asked["is_allowed"] is True
    assert [step["action"] for step in asked["plan"]] == ["promotion.request"]
    assert {check["name"]: check["is_met"] for check in asked["checks"]} == {
        "findings": True, "certificate": True, "second_person": False, "possible": True,
    }  # fmt: skip

    path = f"/admin/models/{served.model}"
    refused = served.post("ann", f"{path}/rollback", json={"reason": "back"}, **dry).json()
    assert (refused["is_allowed"], refused["plan"]) == (False, [])
    assert refused["checks"][-1]["name"] == "nothing-to-roll-back-to"
    retired = served.post("ann", f"{path}/versions/3/retire", json={"reason": "old"}, **dry).json()
    assert [(one["action"], one["version"]) for one in retired["plan"]] == [("retire", 3)]
    pointed = served.clients["ann"].put(
        f"{path}/aliases/next", json={"version": 3, "reason": "to look"}, **dry
    ).json()  # fmt: skip
    assert [(one["action"], one["alias"]) for one in pointed["plan"]] == [("point", "next")]

    plan = {"challenger": 2, "guards": [{"kind": "errors", "margin": 2}], "steps": [{"points": 9}]}
    started = served.post(
        "ann", f"{path}/rollouts", json={"plan": plan, "reason": "new"}, **dry
    ).json()
    assert [one["action"] for one in started["plan"]] == ["rollout.start"]

    assert served.model_view().headers["etag"] == tag
    assert served.history() == before


def test_a_dry_run_of_what_cannot_be_tried_out_is_never_done(served: Served) -> None:
    promotion = served.ask().json()["id"]
    dry = {"params": {"dry_run": "true"}}

    path = f"/admin/promotions/{promotion}/approve"
    check_problem(served.post("ben", path, json={"reason": "fine"}, **dry), 400, "invalid-request")
    policy = f"/admin/models/{served.model}/promotion-policy"
    check_problem(served.clients["admin"].put(policy, json={}, **dry), 400, "invalid-request")
    check_problem(served.ask(3, params={"dry_run": "maybe"}), 400)
    for twice in ("dry_run=true&dry_run=false", "dry_run=false&dry_run=true"):
        check_problem(served.ask(3, params=twice), 400, "invalid-request")
    assert served.champion() == 1
    assert served.clients["ann"].get(policy).json()["second_person"] is True


def test_aliases_and_versions_are_moved_and_ended_over_http(served: Served) -> None:
    path = f"/admin/models/{served.model}"
    ann = served.clients["ann"]
    pointing = {"version": 3, "reason": "to look at"}

    assert ann.put(f"{path}/aliases/next", json=pointing).json()["version"] == 3
    check_problem(ann.put(f"{path}/aliases/champion", json=pointing), 400, "invalid-request")
    ending = {"reason": "never mind"}
    check_problem(ann.post(f"{path}/versions/3/retire", json=ending), 409, "version-in-use")
    assert ann.post(f"{path}/aliases/next/remove", json=ending).json()["version"] is None
    check_problem(ann.post(f"{path}/aliases/next/remove", json=ending), 404, "not-found")
    assert ann.post(f"{path}/versions/3/retire", json=ending).json()["state"] == "retired"
