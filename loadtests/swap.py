"""`make swap`: promotions and rollbacks under load, with the bytes of every answer checked.

Clients send at a steady rate and never wait for each other, so latencies count from the moment a
request was meant to leave. Meanwhile version 2 answers some callers in a canary, is promoted, and
is rolled back, again and again. The bytes of an answer must be those of the version it names; and
once every worker says that it obeys a change, no answer to a later request may name the version
before it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from msgspec import Struct, field
from rich.console import Console

from loadtests.caller import Answer, Caller, Target
from loadtests.errors import LoadTestError
from loadtests.model import COLUMNS, INPUT, MODEL, PROBABILITIES, Trained, shortest, train
from loadtests.rollouts import TENTH, start_canary
from loadtests.server import gateway_command, publish, run_server, wait_until_ready
from loadtests.swap_report import Report, Sample, Swap, report, tabulate
from registry.session import open_session

_POLL_S = 0.01
_LONGEST_SWAP_S = 10.0
_SETTLE_S = 0.2
_ROWS = 120
_BATCHES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
_LENGTH = "inference-header-content-length"


class _Load(Struct, kw_only=True):
    """The clients' shared state: they send until `stopping`."""

    target: Target
    period_s: float
    numbers: Any = field(default_factory=count)
    stopping: bool = False
    samples: list[Sample] = field(default_factory=list)


async def swap_under_load(
    target: Target,
    *,
    swaps: int,
    clients: int = 16,
    per_second: float = 200.0,
    seconds: float = 0.0,
) -> Report:
    """Promote version 2 and roll back by turns, under a steady load; version 1 must be live.

    The changes are spread over so many seconds, or follow each other as soon as they are obeyed.
    Raises LoadTestError where a change is refused, or a worker does not obey it.
    """
    load = _Load(target=target, period_s=clients / per_second)
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(_send_steadily(load, number / per_second))
        try:
            made = await _swap(target, swaps, seconds)
        finally:
            load.stopping = True
    return report(load.samples, made)


async def _send_steadily(load: _Load, offset_s: float) -> None:
    meant = time.monotonic() + offset_s
    caller = Caller(load.target)
    try:
        while not load.stopping:
            await asyncio.sleep(max(0.0, meant - time.monotonic()))
            load.samples.append(await _ask(caller, load.target, next(load.numbers), meant))
            meant += load.period_s
    finally:
        caller.close()


async def _ask(caller: Caller, target: Target, number: int, meant: float) -> Sample:
    left = time.monotonic()
    version = fault = ""
    which = number % len(target.bodies)
    try:
        answer = await caller.ask(target.bodies[which])
        if answer.status == 200:
            version, fault = _check(answer, target, which)
        else:
            fault = f"status {answer.status}: {answer.content!r}"
    except (OSError, EOFError) as error:
        fault = f"{type(error).__name__}: {error}"
    return Sample(meant=meant, left=left, answered=time.monotonic(), version=version, fault=fault)


def _check(answer: Answer, target: Target, which: int) -> tuple[str, str]:
    """Return the version that an answer names, and what is wrong with the bytes of its output."""
    at = int(answer.fields[_LENGTH])
    head = msgspec.json.decode(answer.content[:at])
    version: str = head["model_version"]
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == target.output:
            found = answer.content[at : at + size]
            is_right = found in target.expected[version][which]
            return version, "" if is_right else f"version {version} answered {found.hex()}"
        at += size
    return version, f"version {version} answered without {target.output}"


async def _swap(target: Target, swaps: int, seconds: float) -> list[Swap]:
    made: list[Swap] = []
    begun = time.monotonic()
    async with target.client() as client:
        for number in range(swaps):
            due = begun + seconds * number / swaps
            await asyncio.sleep(max(_SETTLE_S, due - time.monotonic()))
            if number % 2 == 0:
                made.append(await _start_canary(client, target))
                await asyncio.sleep(_SETTLE_S)
                change = {"version": 2, "reason": "a swap under load"}
                made.append(await _change(client, target, "promotions", change, old="1"))
            else:
                change = {"reason": "a swap under load"}
                made.append(await _change(client, target, "rollback", change, old="2"))
        await asyncio.sleep(_SETTLE_S)
    return made


async def _start_canary(client: httpx.AsyncClient, target: Target) -> Swap:
    asked = time.monotonic()
    await asyncio.to_thread(start_canary, target.data_dir, target.model, TENTH)
    answered = time.monotonic()
    obeyed = await _wait_until_obeyed(client, target, answered)
    return Swap(old="", asked=asked, answered=answered, obeyed=obeyed)


async def _change(
    client: httpx.AsyncClient, target: Target, verb: str, change: Mapping[str, Any], *, old: str
) -> Swap:
    asked = time.monotonic()
    answer = await client.post(f"/admin/models/{target.model}/{verb}", json=change)
    answered = time.monotonic()
    if answer.status_code != 200:
        raise LoadTestError(f"The change was refused: {answer.text}")
    obeyed = await _wait_until_obeyed(client, target, answered)
    return Swap(old=old, asked=asked, answered=answered, obeyed=obeyed)


async def _wait_until_obeyed(client: httpx.AsyncClient, target: Target, since: float) -> float:
    while time.monotonic() - since < _LONGEST_SWAP_S:
        shown = (await client.get(f"/admin/models/{target.model}")).json()
        if all(worker["generation"] >= shown["generation"] for worker in shown["workers"]):
            return time.monotonic()
        await asyncio.sleep(_POLL_S)
    raise LoadTestError(f"A worker did not obey within {_LONGEST_SWAP_S:g} s.")


def run(
    folder: Path, *, swaps: int, workers: int, per_second: float, seconds: float, transport: str
) -> Report:
    """Serve two versions with different answers, and swap them under load."""
    data_dir = folder / "data"
    versions = [train(strength=1.0), train(strength=0.01)]
    drafts = [(one.artifact, one.draft) for one in versions]
    key = publish(data_dir, MODEL, drafts)
    command = [*gateway_command(data_dir, workers=workers), "--transport", transport]
    with run_server(command, folder / "log") as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").status_code == 200)
        target = Target(
            url=server.url,
            key=key,
            model=MODEL,
            bodies=[_body(versions[0], row) for row in range(_ROWS)],
            output=PROBABILITIES,
            expected={str(n): _answers(one) for n, one in enumerate(versions, 1)},
            data_dir=data_dir,
        )
        return asyncio.run(
            swap_under_load(target, swaps=swaps, per_second=per_second, seconds=seconds)
        )


def _body(trained: Trained, row: int) -> bytes:
    data = shortest(trained.rows[row])
    tensor = {"name": INPUT, "shape": [1, COLUMNS], "datatype": "FP32", "data": data}
    return msgspec.json.encode({"inputs": [tensor], "parameters": {"binary_data_output": True}})


def _answers(trained: Trained) -> list[frozenset[bytes]]:
    """Return the bytes that a version's artifact has for each row, alone and among others."""
    session = open_session(trained.artifact)
    rows = trained.rows[:_ROWS]
    found: list[set[bytes]] = [set() for _ in rows]
    for size in _BATCHES:
        for start in range(0, _ROWS, size):
            [values] = session.run([PROBABILITIES], {INPUT: rows[start : start + size]})
            for row, value in enumerate(values, start):
                found[row].add(value.tobytes())
    return [frozenset(one) for one in found]


@click.command()
@click.option("--swaps", default=20, show_default=True, help="Changes of champion.")
@click.option("--workers", default=2, show_default=True, help="Workers of the gateway.")
@click.option("--per-second", default=200.0, show_default=True, help="Requests of all clients.")
@click.option("--seconds", default=0.0, help="Spread the changes over so long a time.")
@click.option("--transport", default="protocol", show_default=True, help="Of the gateway.")
def main(swaps: int, workers: int, per_second: float, seconds: float, transport: str) -> None:
    """Promote and roll back under load; ends with status 1 if any request failed."""
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="swap-") as folder:
            found = run(
                Path(folder),
                swaps=swaps,
                workers=workers,
                per_second=per_second,
                seconds=seconds,
                transport=transport,
            )
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    console.print(tabulate(found))
    for failure in found.failures[:10]:
        console.print(failure, style="red", markup=False)
    sys.exit(1 if found.failures else 0)


if __name__ == "__main__":
    main()
