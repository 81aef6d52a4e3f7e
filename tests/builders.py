"""What tests are made of: small ONNX models, registries, and a real gateway."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper

from gateway.security import Role, make_key
from registry.artifacts import Artifacts
from registry.manifest import Draft
from registry.recording import Author
from registry.registry import Registry
from registry.store import open_store
from registry.times import now
from registry.versions import Version

# Longer than anything takes on the busiest machine: only what never comes is waited for as long.
PATIENCE_S = 60.0

# Takes a line of what a test counted.
Count = Callable[[str], None]

AUTHOR = Author(principal="local:tests")
_OPSET = [helper.make_opsetid("", 18)]
_IR_VERSION = 10

ONNX_ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}


def make_model(
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, str, Sequence[Any]]],
    outputs: Sequence[tuple[str, str, Sequence[Any]]],
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
) -> bytes:
    """Write an ONNX model; inputs and outputs are (name, datatype of the protocol, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, ONNX_ELEMENTS[t], s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, ONNX_ELEMENTS[t], s) for n, t, s in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=_OPSET, ir_version=_IR_VERSION)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def identity_model(
    datatype: str = "FP32", shape: Sequence[Any] = ("n", 3), name: str = "x"
) -> bytes:
    """Answer the input `x` with the same tensor `y`."""
    node = helper.make_node("Identity", [name], ["y"])
    return make_model([node], [(name, datatype, shape)], [("y", datatype, shape)])


def linear_model(weight: float = 1.0, columns: int = 3, name: str = "x") -> bytes:
    """Answer `name` [n, columns] with `y` [n, 1], the sum of each row times `weight`."""
    node = helper.make_node("MatMul", [name, "w"], ["y"])
    weights = np.full((columns, 1), weight, np.float32)
    return make_model(
        [node], [(name, "FP32", ("n", columns))], [("y", "FP32", ("n", 1))], {"w": weights}
    )


def two_input_model() -> bytes:
    """Answer `distance` [n, 1] and `carrier` [n, 1] (texts) with both, as `d` and `c`."""
    nodes = [
        helper.make_node("Identity", ["distance"], ["d"]),
        helper.make_node("Identity", ["carrier"], ["c"]),
    ]
    return make_model(
        nodes,
        [("distance", "FP32", ("n", 1)), ("carrier", "BYTES", ("n", 1))],
        [("d", "FP32", ("n", 1)), ("c", "BYTES", ("n", 1))],
    )


# What the loop of `counting_loop` begins with.
COUNTING = {"go": np.bool_(1).reshape(()), "zero": np.array([0], np.int64)}


def counting_loop(count: str, into: str) -> NodeProto:
    """Count up to `count` [1] (INT64) in a loop, one step at a time; it needs `COUNTING`."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_in", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", TensorProto.INT64, [1]),
        ],
        [numpy_helper.from_array(np.array([1], np.int64), "one")],
    )
    return helper.make_node("Loop", [count, "go", "zero"], [into], body=body)


def looping_model() -> bytes:
    """Count up to the input `n` [1] (INT64) in a loop, one step at a time: `y` [1]."""
    nodes = [helper.make_node("Squeeze", ["n"], ["count"]), counting_loop("count", "y")]
    return make_model(nodes, [("n", "INT64", (1,))], [("y", "INT64", (1,))], COUNTING)


def open_registry(data_dir: Path) -> Registry:
    return Registry(open_store(data_dir), Artifacts(data_dir / "artifacts"))


def publish(
    registry: Registry,
    model: str,
    artifact: bytes,
    draft: Draft | None = None,
    *,
    promote: bool = True,
) -> Version:
    """Publish a version and, unless told not to, make it the champion."""
    version = registry.publish(model, artifact, draft or Draft(), AUTHOR)
    if promote:
        registry.promote(model, version.number, "for a test", AUTHOR)
    return version


def add_key(registry: Registry, *roles: Role) -> str:
    """Store a key with the given roles, or with all of them, and return its token."""
    key, token = make_key(
        name="test", roles=roles or tuple(Role), author=AUTHOR.principal, created=now()
    )
    registry.add_key(key, AUTHOR)
    return token


class Gateway:
    """A running `gateway serve`, in processes of its own; `log` collects what it writes.

    `started_s` is how long it took to start, which says how slow the machine is now: bounds on what
    the gateway does by itself are widened by it.
    """

    def __init__(self, process: subprocess.Popen[str], data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.log: list[dict[str, Any]] = []
        self.started_s = 0.0
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._passed: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url: str = self.wait_for("serving")["url"]

    def wait_for(self, event: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return the next log line of an event; fail if the gateway ends or is silent.

        Lines of other events stay for those who wait for them later.
        """
        for number, line in enumerate(self._passed):
            if line["event"] == event:
                return self._passed.pop(number)
        while True:
            following = self._events.get(timeout=timeout_s)
            assert following is not None, f"the gateway ended: {self.log}"
            if following["event"] == event:
                return following
            self._passed.append(following)

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, trust_env=False)

    def stop(self) -> int:
        """End the gateway as an operator does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill_group(self) -> None:
        """Kill supervisor, workers and controller at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End the gateway if it runs, and wait until all it wrote is in the log."""
        if self.process.poll() is None:
            self.stop()
        self._reader.join(PATIENCE_S)
        if self._reader.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self._reader.join()
            raise AssertionError("processes outlived their supervisor")

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                entry = json.loads(line) if line.startswith("{") else {"event": line}
                self.log.append(entry)
                self._events.put(entry)
        self._events.put(None)


@contextmanager
def serving(
    data_dir: Path,
    *options: str,
    workers: int = 1,
    port: int = 0,
    module: str = "gateway.cli",
) -> Iterator[Gateway]:
    """Serve a data directory until the block ends; all processes are ready when it begins.

    `options` go to `gateway serve` as they are. `module` is what runs in its place.
    """
    begun = time.monotonic()
    process = subprocess.Popen(
        [
            sys.executable, "-m", module, "serve",
            "--data-dir", str(data_dir), "--port", str(port), "--workers", str(workers),
            *options,
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip
    gateway = Gateway(process, data_dir)
    try:
        gateway.wait_for("controller_ready")
        for _ in range(workers):
            gateway.wait_for("worker_ready")
        gateway.started_s = time.monotonic() - begun
        yield gateway
    finally:
        gateway.close()


def infer_body(data: Sequence[Any], name: str = "x", datatype: str = "FP32") -> dict[str, Any]:
    """Write a request with one two-dimensional input, given as rows."""
    shape = [len(data), len(data[0])]
    tensor = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return {"inputs": [tensor]}
