"""The gateway that all tests over HTTP share, and how they look at its answers."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from msgspec import Struct
from onnx import helper

from gateway.security import Role, make_key
from registry.manifest import Action, Contract, Draft, Lineage, Rule, RuleKind
from registry.registry import Registry
from registry.times import now
from tests.builders import (
    AUTHOR,
    ONNX_ELEMENTS,
    Gateway,
    add_key,
    identity_model,
    linear_model,
    looping_model,
    make_model,
    open_registry,
    publish,
    serving,
    two_input_model,
)
from tests.http.conformance import check_conformance

BODY_LIMIT = 1 << 20
# What answers inference, by the options of `gateway serve` that choose it.
TRANSPORTS: dict[str, tuple[str, ...]] = {"protocol": (), "asgi": ("--transport", "asgi")}
PROTOCOL_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
_MEMBERS = {"type", "title", "status", "detail", "code", "error"}
_OPTIONAL = {"violations", "check", "record_id"}
# What must never be in an answer: traces, files, names of exceptions and of libraries' internals.
_LEAK = re.compile(r"Traceback|File \"|\.py\b|/work|/tmp|/home|site-packages|Error\(|msgspec|gw_")

GUARDED = Draft(
    contract=Contract(
        rules=(
            Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=0, low=0, high=10),
            Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, column=1, low=0, high=10),
            Rule(input="x", kind=RuleKind.MISSING, action=Action.OBSERVE, column=2),
        ),
        refusal_cap=None,  # tests of one gateway send more bad requests than good ones
    ),
    lineage=Lineage(data_rows=10),
)


class World(Struct, frozen=True, kw_only=True):
    """A running gateway, its registry, and the tokens of its keys."""

    gateway: Gateway
    registry: Registry
    tokens: dict[str, str]

    def client(self, name: str = "all") -> httpx.Client:
        """Return a client with the key of a role, or `all`, `revoked`, `expired`, `bad`, `none`.

        It holds every answer to the description of the protocol.
        """
        client = self.gateway.client(None if name == "none" else self.tokens[name])
        client.event_hooks = {"response": [check_conformance]}
        return client

    def worker_pids(self) -> list[int]:
        return [status.pid for status in self.registry.store.workers()]

    def memory_bytes(self) -> int:
        """Sum the resident memory of the workers."""
        pages = 0
        for pid in self.worker_pids():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def publish_world(data_dir: Path) -> dict[str, str]:
    """Publish one model for each purpose, and return the tokens of keys of every kind."""
    registry = open_registry(data_dir)
    _publish_all(registry)
    tokens = {role.value: add_key(registry, role) for role in Role}
    tokens |= {"all": add_key(registry), "bad": "gw_" + "x" * 43}
    tokens |= {"revoked": _revoked(registry), "expired": _expired(registry)}
    registry.store.close()
    return tokens


def publish_linear(data_dir: Path) -> dict[str, str]:
    """Publish the one model that tests of connections need, for a world that starts at once."""
    registry = open_registry(data_dir)
    publish(registry, "linear", linear_model())
    tokens = {"all": add_key(registry)}
    registry.store.close()
    return tokens


@contextmanager
def serve_world(data_dir: Path, tokens: dict[str, str], *options: str) -> Iterator[World]:
    """Serve what was published; fail at the end if the gateway met anything unforeseen."""
    registry = open_registry(data_dir)
    limits = (
        "--body-limit", str(BODY_LIMIT), "--body-deadline", "1", "--run-deadline", "1",
        "--segment-age", "0.5",
    )  # fmt: skip
    with serving(data_dir, *limits, *options) as gateway:
        yield World(gateway=gateway, registry=registry, tokens=tokens)
    registry.store.close()
    assert unforeseen(gateway) == []


def unforeseen(gateway: Gateway) -> list[dict[str, Any]]:
    """Return what the gateway wrote that no caller should be able to make it write."""
    return [
        line
        for line in gateway.log
        if line.get("event") in ("unforeseen_error", "process_ended")
        or "Traceback" in str(line)
        or "exception" in line
    ]


def check_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Hold an answer to the one shape of errors, and return it."""
    assert answer.status_code == status, answer.text
    path = answer.request.url.raw_path.partition(b"?")[0].decode()
    is_protocol = path == "/v2" or path.startswith("/v2/")
    return check_problem_body(
        status,
        answer.headers["content-type"],
        answer.content,
        PROTOCOL_TYPE if is_protocol else PROBLEM_TYPE,
        code,
    )


def check_problem_body(
    status: int, content_type: str, body: bytes, wanted_type: str, code: str | None = None
) -> dict[str, Any]:
    assert content_type == wanted_type
    problem = msgspec.json.decode(body)
    assert set(problem) >= _MEMBERS, problem
    assert set(problem) - _MEMBERS <= _OPTIONAL, problem
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["error"] == problem["detail"]
    assert isinstance(problem["error"], str)
    assert len(body) < 32_768
    assert not _LEAK.search(body.decode()), body
    if code is not None:
        assert problem["code"] == code, problem
    return problem


def check_alive(client: httpx.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _publish_all(registry: Registry) -> None:
    for datatype in ONNX_ELEMENTS:
        publish(registry, f"identity-{datatype}", identity_model(datatype, ("n", "m")))
    publish(registry, "scalar", identity_model("FP32", ()))
    publish(registry, "linear", linear_model())
    publish(registry, "linear", linear_model(2.0), promote=False)
    publish(registry, "two", two_input_model())
    publish(registry, "guarded", identity_model("FP32", ("n", 3)), GUARDED)
    publish(registry, "looping", looping_model())
    publish(registry, "picking", _picking_model())
    publish(registry, "folding", _folding_model())
    publish(registry, "growing", _growing_model())


def _picking_model() -> bytes:
    """Answer indices `i` [n] with elements of a table of three; others cannot be computed."""
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    table = {"table": np.arange(3, dtype=np.float32)}
    return make_model([node], [("i", "INT64", ("n",))], [("y", "FP32", ("n",))], table)


def _folding_model() -> bytes:
    """Answer `x` [n] as one element; fails for any other number of them."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = {"shape": np.array([1, 1], np.int64)}
    return make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", (1, "k"))], shape)


def _growing_model() -> bytes:
    """Answer `n` [1] with n zeros `y` [n] of eight bytes."""
    node = helper.make_node("Expand", ["zero", "n"], ["y"])
    zero = {"zero": np.zeros(1, np.int64)}
    return make_model([node], [("n", "INT64", (1,))], [("y", "INT64", ("k",))], zero)


def _revoked(registry: Registry) -> str:
    key, token = make_key(name="revoked", roles=list(Role), author="tests", created=now())
    registry.add_key(key, AUTHOR)
    registry.revoke_key(key.id, AUTHOR)
    return token


def _expired(registry: Registry) -> str:
    created = now() - timedelta(days=2)
    expires = created + timedelta(days=1)
    key, token = make_key(
        name="expired", roles=list(Role), author="tests", created=created, expires=expires
    )
    registry.add_key(key, AUTHOR)
    return token
