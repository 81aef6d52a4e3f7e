"""Challengers that answer callers of a real gateway of two workers, over both transports."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from gateway.canaries import MOST_FAULTS
from gateway.security import Role
from registry.registry import Registry
from registry.rollouts import Phase, Rollout
from tests.builders import PATIENCE_S, Count, Gateway, add_key, open_registry, publish, serving
from tests.http.world import TRANSPORTS, check_problem, unforeseen
from tests.rolling import caller_of, start_canary
from tests.unit.gateway.test_canaries import squeezing_model, summing_model, vector

GOOD, BAD = vector(1.0), vector(1.0, 2.0)
_OBEYED_S = 1.0


class Scene(Struct, frozen=True):
    """A gateway whose model `m` has a canary, which fails requests of two numbers."""

    gateway: Gateway
    registry: Registry
    rollout: Rollout
    tokens: dict[str, str]

    def client(self, role: str = "invoker") -> httpx.Client:
        return self.gateway.client(self.tokens[role])

    def ask(
        self, client: httpx.Client, body: dict[str, Any], *, is_canary: bool = True,
        path: str = "/v2/models/m/infer",
    ) -> httpx.Response:  # fmt: skip
        key = caller_of(self.rollout, is_canary=is_canary)
        return client.post(path, json={**body, "parameters": {"routing_key": key}})

    def lane(self, client: httpx.Client, body: dict[str, Any]) -> str:
        answer = self.ask(client, body)
        assert answer.status_code == 200, answer.text
        lane: str = answer.json()["parameters"]["lane"]
        return lane

    def phase(self) -> Phase:
        found = self.registry.store.rollout(self.rollout.id)
        assert found is not None
        return found.phase


@pytest.fixture(params=TRANSPORTS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    registry = open_registry(tmp_path)
    publish(registry, "m", summing_model())
    publish(registry, "m", squeezing_model(), promote=False)
    rollout = start_canary(registry, "m")
    tokens = {
        "invoker": add_key(registry, Role.INVOKER),
        "tester": add_key(registry, Role.INVOKER, Role.TESTER),
        "viewer": add_key(registry, Role.VIEWER),
    }
    with serving(tmp_path, *TRANSPORTS[request.param], workers=2) as gateway:
        yield Scene(gateway, registry, rollout, tokens)
    registry.store.close()
    assert unforeseen(gateway) == []


def test_lane_and_version_are_told_and_only_testers_name_the_challenger(scene: Scene) -> None:
    with scene.client() as client, scene.client("tester") as tester:
        answer = scene.ask(client, GOOD)
        assert (answer.json()["model_version"], answer.json()["parameters"]["lane"]) == (
            "2", "canary",
        )  # fmt: skip
        assert scene.ask(client, GOOD, is_canary=False).json()["parameters"]["lane"] == "champion"
        pinned = "/v2/models/m/versions/2/infer"
        check_problem(scene.ask(client, GOOD, path=pinned), 403, "forbidden")
        assert scene.ask(tester, GOOD, path=pinned).json()["parameters"]["lane"] == "pinned"
        assert client.get("/v2/models/m").json()["versions"] == ["1"]
    counted = 'gateway_answers_total{model="m",version="2",lane="canary"} 1'
    deadline = time.monotonic() + PATIENCE_S  # what the other worker counted is written each second
    with scene.client("viewer") as viewer:
        while counted not in viewer.get("/metrics").text:
            assert time.monotonic() < deadline


def test_five_faults_in_a_row_end_a_canary_in_every_worker_within_a_second(
    scene: Scene, count: Count
) -> None:
    with scene.client() as one:
        assert scene.lane(one, GOOD) == "canary"
        for _ in range(MOST_FAULTS):
            assert scene.lane(one, BAD) == "champion"
        begun = time.monotonic()
        assert scene.lane(one, GOOD) == "champion"  # the worker that saw it has stopped already
        while not obeyed(scene.registry):
            assert time.monotonic() - begun < PATIENCE_S
        took_s = time.monotonic() - begun
        for _ in range(20):
            with scene.client() as another:  # of either worker
                assert scene.lane(another, GOOD) == "champion"

    assert scene.phase() is Phase.ROLLED_BACK
    count(f"every worker obeyed {took_s * 1000:.0f} ms after the fifth fault")
    assert took_s < max(_OBEYED_S, scene.gateway.started_s / 4)


def obeyed(registry: Registry) -> bool:
    """Say whether the rollout is over and every worker obeys."""
    store = registry.store
    if any(not rollout.phase.is_over for rollout in store.rollouts("m")):
        return False
    return all(status.generation >= store.generation() for status in store.workers())
