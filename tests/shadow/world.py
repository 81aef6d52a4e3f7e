"""Challengers in shadow of a running gateway: how they are made, started and looked at."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from onnx import TensorProto, helper

from registry import rolling_out
from registry.datatypes import Datatype
from registry.manifest import Draft, SampleTensor
from registry.registry import Registry
from registry.rollouts import POINTS, Guard, GuardKind, Plan, Rollout, Step
from tests.builders import AUTHOR, COUNTING, PATIENCE_S, Gateway, counting_loop, make_model

MODEL = "sum"
AGREEMENT = Guard(kind=GuardKind.AGREEMENT, output="y", margin=0.5, tolerance=0.5)
_MOST_REQUESTS = 1_000_000_000  # so that no stage is passed
# A sample on which the sleeping model does not sleep.
AWAKE = Draft(
    sample=(SampleTensor(name="x", shape=(1, 3), datatype=Datatype.FP32, data=(0.0, 0.0, 0.0)),)
)
_STEPS_A_UNIT = 1e9  # so that one run takes minutes


def sleeping_model() -> bytes:
    """Answer `x` [n, 3] with its row's sum, after a loop that is as long as its greatest value."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["greatest"], keepdims=0),
        helper.make_node("Mul", ["greatest", "scale"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["count"], to=TensorProto.INT64),
        counting_loop("count", "slept"),
        helper.make_node("Cast", ["slept"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "nothing"], ["added"]),
        helper.make_node("MatMul", ["x", "w"], ["sum"]),
        helper.make_node("Add", ["sum", "added"], ["y"]),
    ]
    constants = {
        "scale": np.array(_STEPS_A_UNIT, np.float32),
        "nothing": np.array([0], np.float32),
        "w": np.ones((3, 1), np.float32),
        **COUNTING,
    }
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("n", 1))], constants)


def rooting_model() -> bytes:
    """Answer `x` [n, 3] with the root of its row's sum: NaN below 0."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["y"]),
    ]
    weights = {"w": np.ones((3, 1), np.float32)}
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("n", 1))], weights)


def doubling_model() -> bytes:
    """Answer `x` [n, 3] with twice as many rows."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["sum"]),
        helper.make_node("Concat", ["sum", "sum"], ["y"], axis=0),
    ]
    weights = {"w": np.ones((3, 1), np.float32)}
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("k", 1))], weights)


def start_shadow(
    registry: Registry,
    *,
    challenger: int = 2,
    guards: tuple[Guard, ...] = (AGREEMENT,),
    points: int = POINTS,
    segment: str | None = None,
    alpha: float = 1e-9,
) -> Rollout:
    """Let a challenger shadow the champion, for longer than a test lasts unless `alpha` is more."""
    plan = Plan(
        challenger=challenger,
        guards=guards,
        shadow=Step(points=points, min_requests=_MOST_REQUESTS),
        segment=segment,
        alpha=alpha,
    )
    edges_us = [0] * len(guards)
    return rolling_out.start(registry, MODEL, plan, "a test", AUTHOR, edges_us=edges_us)


def ask(client: httpx.Client, row: list[float], **parameters: str) -> str:
    """Ask the champion, and return the id of the answer's record."""
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": row}
    body: dict[str, Any] = {"inputs": [tensor], "parameters": parameters}
    answer = client.post(f"/v2/models/{MODEL}/infer", json=body)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-record-id"]


def shown(client: httpx.Client, rollout: Rollout) -> dict[str, Any]:
    """Return what the shadow has shown so far."""
    answer = client.get(f"/admin/rollouts/{rollout.id}/shadow")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def wait_until(claim: Callable[[], bool]) -> None:
    """Return when a claim holds; fail if it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_shadow(gateway: Gateway, registry: Registry) -> None:
    """Return when the process listens, and every worker sends to it."""
    gateway.wait_for("shadow_ready")
    generation = registry.store.generation()
    wait_until(lambda: all(one.generation >= generation for one in registry.store.workers()))


def counted(client: httpx.Client, rollout: Rollout, requests: int) -> dict[str, Any]:
    """Return what is shown once so many requests have been counted, each of them once."""

    def is_counted() -> bool:
        found = shown(client, rollout)
        return sum(found[name] for name in ("compared", "failed", "refused", "shed")) >= requests

    wait_until(is_counted)
    found = shown(client, rollout)
    assert sum(found[name] for name in ("compared", "failed", "refused", "shed")) == requests
    return found


def shadow_process(gateway: Gateway) -> int:
    """Return the id of the process that runs challengers; fail where there is none."""
    [pid] = shadow_processes(gateway)
    return pid


def shadow_processes(gateway: Gateway) -> list[int]:
    group = str(gateway.process.pid)
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                own_group = (folder / "stat").read_text().rpartition(")")[2].split()[2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"gateway.shadow" in words and own_group == group:
                found.append(int(folder.name))
    return found
