"""`python -m loadtests.shadow`: what callers notice of a challenger that sleeps beside them.

A champion that answers at once is asked at a steady rate, by turns without a rollout and with one:
then every request also goes to a challenger that runs for 30 seconds, by a loop in its graph. The
worker, the controller and the shadow share one core, so that the shadow has nowhere else to go.
Latencies count from when a request was due.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
from msgspec import Struct
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from loadtests import machine, openloop
from loadtests.errors import LoadTestError
from loadtests.openloop import OpenResult, Plan
from loadtests.server import AUTHOR, gateway_command, publish, run_server, wait_until_ready
from loadtests.shot import ID_DIGITS, Question, Shot
from registry import rolling_out
from registry.artifacts import Artifacts
from registry.datatypes import Datatype
from registry.manifest import Draft, SampleTensor
from registry.registry import Registry
from registry.rollouts import POINTS, Guard, GuardKind, Rollout, Step
from registry.rollouts import Plan as RolloutPlan
from registry.store import open_store

_MODEL = "sleeping"
_MOST_SLOWER = 1.1
# As long as one run is to take; the steps a second that a loop does are measured.
_SLEEP_S = 30.0
_STEPS_A_SECOND = 3e6
_READY_S = 30.0


class Round(Struct, frozen=True, kw_only=True):
    """One turn: without a rollout, and with one, and what the shadow said of its turn."""

    alone: OpenResult
    shadowed: OpenResult
    shown: dict[str, Any]


def champion_model() -> bytes:
    """Answer `n` [1] with itself, at once."""
    node = helper.make_node("Identity", ["n"], ["y"])
    return _model([node], {})


def sleeping_model() -> bytes:
    """Answer `n` [1] with itself, after as many steps of a loop."""
    one = numpy_helper.from_array(np.array([1], np.int64), "one")
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
        [one],
    )
    nodes = [
        helper.make_node("Squeeze", ["n"], ["count"]),
        helper.make_node("Loop", ["count", "go", "zero"], ["y"], body=body),
    ]
    return _model(nodes, {"go": np.bool_(1).reshape(()), "zero": np.array([0], np.int64)})


def _model(nodes: Sequence[Any], constants: dict[str, Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        _MODEL,
        [helper.make_tensor_value_info("n", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def question(key: str) -> Question:
    """Ask for so many steps that the challenger runs for half a minute."""
    steps = int(_SLEEP_S * _STEPS_A_SECOND)
    tensor = {"name": "n", "shape": [1], "datatype": "INT64", "data": [steps]}
    mark = "0" * ID_DIGITS
    body = json.dumps({"id": mark, "inputs": [tensor]}).encode()
    head = (
        f"POST /v2/models/{_MODEL}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    before, _, behind = (head + body).partition(mark.encode())
    return Question(before, behind)


class Bench:
    """A gateway under load, whose rollouts are begun and ended."""

    def __init__(self, data_dir: Path, url: str, key: str, core: int) -> None:
        self._registry = Registry(open_store(data_dir), Artifacts(data_dir / "artifacts"))
        self._key = key
        self._core = core
        self._host, _, self._port = url.removeprefix("http://").partition(":")
        self._client = httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {key}"}, trust_env=False
        )

    def turn(self, per_second: float, seconds: float) -> Round:
        """Ask without a rollout, then with one. Raises LoadTestError where no shadow starts."""
        alone = self._ask(per_second, seconds)
        rollout = self._start()
        try:
            shadowed = self._ask(per_second, seconds)
            time.sleep(2)  # what was sent last is counted
            shown = self._client.get(f"/admin/rollouts/{rollout.id}/shadow").json()
        finally:
            rolling_out.abort(self._registry, rollout.id, "the turn is over", AUTHOR)
            time.sleep(2)
        return Round(alone=alone, shadowed=shadowed, shown=shown)

    def _ask(self, per_second: float, seconds: float) -> OpenResult:
        shot = Shot(question(self._key), b'"outputs":[{"name":"y"')
        plan = Plan(
            host=self._host, port=int(self._port), shot=shot, per_second=per_second, seconds=seconds
        )
        return openloop.run(plan, cores=[self._core])

    def _start(self) -> Rollout:
        plan = RolloutPlan(
            challenger=2,
            guards=(Guard(kind=GuardKind.ERRORS, margin=2.0),),
            shadow=Step(points=POINTS, min_requests=1_000_000),
            alpha=1e-9,  # it fails all the time, and is to go on
        )
        rollout = rolling_out.start(
            self._registry, _MODEL, plan, "a load test", AUTHOR, edges_us=[0]
        )
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self._ask(20, 1)
            shown = self._client.get(f"/admin/rollouts/{rollout.id}/shadow").json()
            if shown["waiting"] or shown["failed"]:
                return rollout
        raise LoadTestError("The shadow did not start.")


def run(folder: Path, *, per_second: float, seconds: float, rounds: int) -> list[Round]:
    """Serve both versions and take the turns. Raises LoadTestError."""
    server_core, client_core = machine.two_cores()
    data_dir = folder / "data"
    sample = SampleTensor(name="n", shape=(1,), datatype=Datatype.INT64, data=(1,))
    drafts = [(champion_model(), Draft()), (sleeping_model(), Draft(sample=(sample,)))]
    key = publish(data_dir, _MODEL, drafts)
    command = [*gateway_command(data_dir, workers=1), "--run-deadline", str(_SLEEP_S)]
    with run_server(command, folder / "log", cores=[server_core]) as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").status_code == 200)
        bench = Bench(data_dir, server.url, key, client_core)
        bench.turn(per_second, 5)  # to warm up
        return [bench.turn(per_second, seconds) for _ in range(rounds)]


def failures(result: OpenResult) -> int:
    """Count the requests that had no right answer."""
    return result.refused + result.wrong + result.broken + result.unanswered


def slower(found: Sequence[Round]) -> float:
    """Return how many times as long the 99th percentile is beside a shadow: the median round's."""
    return float(np.median([one.shadowed.p99_us / one.alone.p99_us for one in found]))


def tabulate(found: Sequence[Round]) -> Table:
    """Show what callers met, and what the shadow did meanwhile."""
    table = Table(title="Callers beside a challenger that runs for 30 s")
    for heading in ("turn", "req/s", "p50", "p99", "failures", "shadow failed", "shadow shed"):
        table.add_column(heading, justify="right" if heading != "turn" else "left")
    for one in found:
        for name, result, shown in (
            ("alone", one.alone, None),
            ("shadowed", one.shadowed, one.shown),
        ):
            table.add_row(
                name,
                f"{result.per_second:,.0f}",
                f"{result.p50_us / 1000:.2f} ms",
                f"{result.p99_us / 1000:.2f} ms",
                str(failures(result)),
                "" if shown is None else str(shown["failed"]),
                "" if shown is None else f"{shown['shed']:,}",
            )
    return table


@click.command()
@click.option("--per-second", default=500.0, show_default=True, help="Requests per second.")
@click.option("--seconds", default=40.0, show_default=True, help="Length of a turn.")
@click.option("--rounds", default=5, show_default=True)
def main(per_second: float, seconds: float, rounds: int) -> None:
    """Shadow every request with a model that runs for 30 s.

    Ends with status 1 where a request fails beside the shadow, or where the 99th percentile of the
    latency there is more than 10 % above that without one.
    """
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="shadow-") as folder:
            found = run(Path(folder), per_second=per_second, seconds=seconds, rounds=rounds)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    console.print(tabulate(found))
    times = slower(found)
    console.print(
        f"p99 beside the shadow: {times:.3f} times that without one, in the median round."
    )
    if times > _MOST_SLOWER or any(failures(one.shadowed) for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
