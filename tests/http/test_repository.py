"""The repository extension on a real gateway with two workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.security import Role
from registry.records import Kind, RecordFilter
from registry.registry import Registry
from tests.builders import (
    AUTHOR,
    Gateway,
    add_key,
    infer_body,
    linear_model,
    open_registry,
    publish,
    serving,
)
from tests.http.world import check_problem

LOOKS = 10  # with a connection each, so that both workers are asked


class Scene:
    def __init__(self, gateway: Gateway, registry: Registry, token: str) -> None:
        self.gateway, self.registry, self.token = gateway, registry, token

    def post(self, path: str, **body: Any) -> httpx.Response:
        with self.gateway.client(self.token) as client:
            return client.post(path, **body)

    def repository(self, verb: str, model: str = "linear", **body: Any) -> httpx.Response:
        return self.post(f"/v2/repository/models/{model}/{verb}", **body)

    def infer(self, model: str = "linear") -> httpx.Response:
        return self.post(f"/v2/models/{model}/infer", json=infer_body([[1, 2, 3]]))

    def index(self, **body: Any) -> dict[str, tuple[str, str]]:
        answer = self.post("/v2/repository/index", **body)
        assert answer.status_code == 200, answer.text
        return {f"{one['name']}/{one['version']}": (one["state"], one["reason"])
                for one in answer.json()}  # fmt: skip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    data_dir = tmp_path_factory.mktemp("repository")
    registry = open_registry(data_dir)
    for weight in (1.0, 2.0, 3.0):
        publish(registry, "linear", linear_model(weight))
    publish(registry, "linear", linear_model(4.0), promote=False)
    registry.retire("linear", 1, "a test", AUTHOR)
    publish(registry, "waiting", linear_model(), promote=False)
    token = add_key(registry)
    with serving(data_dir, workers=2) as gateway:
        yield Scene(gateway, registry, token)
    registry.store.close()


def test_the_index_says_what_answers_and_why_the_rest_does_not(scene: Scene) -> None:
    assert scene.index() == {
        "linear/1": ("UNAVAILABLE", "it is retired"),
        "linear/2": ("READY", ""),
        "linear/3": ("READY", ""),
        "linear/4": ("UNAVAILABLE", "no alias names it"),
        "waiting/1": ("UNAVAILABLE", "no alias names it"),
    }


@pytest.mark.parametrize("body", [{"json": {"ready": True}}, {"content": b'{"ready":true,"x":1}'}])
def test_the_index_can_be_limited_to_what_is_ready(scene: Scene, body: dict[str, Any]) -> None:
    assert set(scene.index(**body)) == {"linear/2", "linear/3"}


def test_an_unloaded_model_answers_nowhere_until_it_is_loaded(scene: Scene) -> None:
    aliases = scene.registry.store.alias_changes("linear")
    assert scene.infer().status_code == 200

    answer = scene.repository("unload", json={"parameters": {"unload_dependents": False}})
    assert (answer.status_code, answer.json()) == (200, {"name": "linear", "versions": []})
    for _ in range(LOOKS):
        check_problem(scene.infer(), 503, "unloaded")
        with scene.gateway.client(scene.token) as client:
            for path in ("/v2/models/linear", "/v2/models/linear/ready"):
                check_problem(client.get(path), 503, "unloaded")
            assert client.get("/v2/models").json() == {"models": []}
    assert scene.index()["linear/3"] == ("UNAVAILABLE", "the model was unloaded")

    answer = scene.repository("load", json={})
    assert (answer.status_code, answer.json()["versions"]) == (200, ["2", "3"])
    for _ in range(LOOKS):
        served = scene.infer()
        assert (served.status_code, served.json()["model_version"]) == (200, "3")
    assert scene.registry.store.alias_changes("linear") == aliases
    found = scene.registry.store.records(RecordFilter(kind=Kind.ADMIN), before=None, limit=1000)
    _, unloaded, loaded = (leaf for _, leaf in sorted(found)[-3:])
    assert b'"action":"unload"' in unloaded
    assert b'"action":"load"' in loaded


def test_a_promotion_of_an_unloaded_model_is_served_once_it_is_loaded(scene: Scene) -> None:
    scene.repository("unload")
    scene.registry.promote("linear", 4, "a test", AUTHOR)
    check_problem(scene.infer(), 503, "unloaded")
    scene.repository("load")
    assert scene.infer().json()["model_version"] == "4"


def test_loading_what_no_alias_names_is_refused_with_the_remedy(scene: Scene) -> None:
    problem = check_problem(scene.repository("load", "waiting"), 409, "conflict")
    assert "promote" in problem["detail"]
    check_problem(scene.infer("waiting"), 404, "not-found")


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_nothing_is_loaded_that_was_not_published(scene: Scene, name: str) -> None:
    big = "A" * (1 << 20)
    answer = scene.repository("load", json={"parameters": {name: big}})
    assert "publish" in check_problem(answer, 400, "invalid-request")["detail"]
    assert scene.infer().status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"parameters": []}', b'{"parameters":{"reason":1}}'],
)
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_a_body_that_is_none_is_refused(scene: Scene, verb: str, body: bytes) -> None:
    check_problem(
        scene.repository(verb, content=body),
        413 if len(body) > 1 << 16 and verb == "unload" else 400,
    )
    assert scene.infer().status_code == 200


def test_an_unknown_model_is_not_found(scene: Scene) -> None:
    for verb in ("load", "unload"):
        check_problem(scene.repository(verb, "none"), 404, "not-found")


def test_only_a_deployer_loads_and_unloads(scene: Scene) -> None:
    token = add_key(scene.registry, *(set(Role) - {Role.DEPLOYER}))
    with scene.gateway.client(token) as client:
        for verb in ("load", "unload"):
            path = f"/v2/repository/models/linear/{verb}"
            answer = client.post(path)
            while answer.status_code == 401:  # the key is not known everywhere yet
                answer = client.post(path)
            check_problem(answer, 403, "forbidden")


def test_a_restart_remembers_what_was_unloaded(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    publish(registry, "linear", linear_model())
    token = add_key(registry)
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        assert client.post("/v2/repository/models/linear/unload").status_code == 200
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        answer = client.post("/v2/models/linear/infer", json=infer_body([[1, 2, 3]]))
        check_problem(answer, 503, "unloaded")
    registry.store.close()


def test_a_version_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    registry = open_registry(tmp_path)
    version = publish(registry, "linear", linear_model())
    value = version.artifact.removeprefix("sha256:")
    path = tmp_path / "artifacts" / "sha256" / value[:2] / value
    token = add_key(registry)
    with serving(tmp_path) as gateway, gateway.client(token) as client:
        client.post("/v2/repository/models/linear/unload")
        path.unlink()
        problem = check_problem(client.post("/v2/repository/models/linear/load"), 503, "not-loaded")
        assert "No artifact" in problem["detail"]
        [entry] = client.post("/v2/repository/index").json()
        assert (entry["state"], "No artifact" in entry["reason"]) == ("UNAVAILABLE", True)
    registry.store.close()
