"""`make overload`: five times what the gateway can answer, for a minute.

A model that takes milliseconds is asked at half of its capacity, then at five times as much as it
has, then at half again. What is admitted must keep its latency, what is refused must be refused at
once, and nothing may be left unanswered.

    python -m loadtests.overload --seconds 60
"""

import sys
import tempfile
from pathlib import Path

import click
import httpx
import numpy as np
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from loadtests import machine, openloop, wrk
from loadtests.errors import LoadTestError
from loadtests.forms import V2_JSON
from loadtests.model import COLUMNS, INPUT, MODEL
from loadtests.openloop import OpenResult, Plan
from loadtests.server import gateway_command, publish, run_server, wait_until_ready
from loadtests.shot import Shot
from registry.manifest import Draft

_WIDTH = 1500
_PRODUCTS = 8
_TIMES = 5.0
_CONNECTIONS = 512
_MOST_REFUSAL_US = 50_000
_MOST_TIMES_SLOWER = 4.0


def heavy_model() -> bytes:
    """Answer `X` [n, 30] with its row's sum, by way of products that take milliseconds."""
    nodes = [
        helper.make_node("MatMul", [INPUT, "wide"], ["0"]),
        *(
            helper.make_node("MatMul", [str(at), "square"], [str(at + 1)])
            for at in range(_PRODUCTS)
        ),
        helper.make_node("MatMul", [str(_PRODUCTS), "narrow"], ["y"]),
    ]
    weights = {
        "wide": np.full((COLUMNS, _WIDTH), 1 / _WIDTH, np.float32),
        "square": np.eye(_WIDTH, dtype=np.float32),
        "narrow": np.ones((_WIDTH, 1), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", COLUMNS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def shoot(url: str, key: str, per_second: float, seconds: float, core: int) -> OpenResult:
    """Ask at a rate, whatever comes back. Raises LoadTestError where something does not."""
    host, port = url.removeprefix("http://").split(":")
    row = np.zeros((1, COLUMNS), np.float32)
    plan = Plan(
        host=host,
        port=int(port),
        shot=Shot(V2_JSON.ask(row, host=host, key=key), b'"data":[0.0]'),
        per_second=per_second,
        seconds=seconds,
        connections=_CONNECTIONS,
    )
    result = openloop.run(plan, cores=[core])
    if result.unanswered or result.wrong or result.broken:
        raise LoadTestError(
            f"{result.unanswered} requests were not answered, {result.wrong} answers wrong, "
            f"{result.broken} connections broken."
        )
    return result


def measure(folder: Path, seconds: float) -> tuple[float, list[OpenResult]]:
    """Return the capacity in requests a second, and what callers met before, in and after it."""
    server_core, client_core = machine.two_cores()
    data_dir = folder / "data"
    key = publish(data_dir, MODEL, [(heavy_model(), Draft())])
    command = gateway_command(data_dir, workers=1)
    with run_server(command, folder / "log", cores=[server_core]) as server:
        wait_until_ready(server, lambda client: _is_ready(client, key))
        few = wrk.Blow(connections=2, seconds=5, cores=[client_core])
        question = V2_JSON.ask(np.zeros((1, COLUMNS), np.float32), host="x", key=key)
        found = wrk.run(wrk.find_wrk(), server.url, Shot(question, b'"data":[0.0]'), few)
        capacity = found.per_second
        shares = [(0.5, 10.0), (_TIMES, seconds), (0.5, 5.0)]
        return capacity, [
            shoot(server.url, key, share * capacity, length, client_core)
            for share, length in shares
        ]


def _is_ready(client: httpx.Client, key: str) -> bool:
    headers = {"authorization": f"Bearer {key}"}
    return client.get(f"/v2/models/{MODEL}/ready", headers=headers).status_code == 200


def tabulate(capacity: float, results: list[OpenResult]) -> Table:
    """Show what callers met."""
    table = Table(title=f"Overload of a model with a capacity of {capacity:,.0f} requests a second")
    for heading in ("asked at", "req/s", "admitted/s", "refused", "p99 admitted", "p99 refused"):
        table.add_column(heading, justify="right" if heading != "asked at" else "left")
    for name, one in zip(("half", "five times", "half again"), results, strict=True):
        admitted = one.answers - one.refused
        table.add_row(
            name,
            f"{one.wanted_per_second:,.0f}",
            f"{one.per_second * admitted / one.answers:,.0f}",
            f"{one.refused / one.answers:.0%}",
            f"{one.admitted_p99_us / 1000:.1f} ms",
            f"{one.refused_p99_us / 1000:.1f} ms" if one.refused else "",
        )
    return table


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Length of the overload.")
def main(seconds: float) -> None:
    """Overload the gateway.

    Ends with status 1 where refusals take longer than 50 ms, or where those who are admitted wait
    more than four times as long as at half of the load.
    """
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="overload-") as folder:
            capacity, results = measure(Path(folder), seconds)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    console.print(tabulate(capacity, results))
    if any(one.refused_p99_us > _MOST_REFUSAL_US for one in results):
        console.print("Refusals took longer than 50 ms.")
        sys.exit(1)
    if results[1].admitted_p99_us > _MOST_TIMES_SLOWER * results[0].admitted_p99_us:
        console.print("Those who were admitted waited far longer than without the overload.")
        sys.exit(1)


if __name__ == "__main__":
    main()
