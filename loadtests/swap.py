"""`make swap`: promotions and rollbacks under load, with every answer checked.

Clients send at a steady rate and never wait for each other, so latencies count from the moment a
request was meant to leave. Meanwhile version 2 is promoted and rolled back again and again through
the admin routes. An answer must be the one of the version it names; and once every worker says
that it obeys a change, no answer to a later request may name the version before it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
from msgspec import Struct, field
from rich.console import Console
from rich.table import Table

from loadtests.errors import LoadTestError
from loadtests.model import MODEL, PROBABILITIES, TOLERANCE, train
from loadtests.server import gateway_command, publish, run_server, wait_until_ready

_POLL_S = 0.01
_LONGEST_SWAP_S = 10.0
_SETTLE_S = 0.2


class Target(Struct, frozen=True, kw_only=True):
    """The model under load: a request, and the values that each version's output must hold."""

    url: str
    key: str
    model: str
    body: Mapping[str, Any]
    output: str
    expected: Mapping[str, Sequence[float]]

    def client(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=10)


class Swap(Struct, frozen=True, kw_only=True):
    """One change of champion, in seconds of the monotonic clock.

    `old` is the version before it, `asked` and `answered` tell when the admin route was, `obeyed`
    when every worker said that it serves the new version.
    """

    old: str
    asked: float
    answered: float
    obeyed: float


class Sample(Struct, frozen=True, kw_only=True):
    """One request: when it was meant to leave, left and was answered, by which version, or why not.

    `fault` is empty for a right answer.
    """

    meant: float
    left: float
    answered: float
    version: str
    fault: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """What clients met. Seconds; latencies are of the answers to requests meant during swaps."""

    swaps: int
    requests: int
    failures: list[str]
    longest_to_obey_s: float
    longest_old_answer_s: float
    p50_s: float
    p99_s: float
    p99_in_swaps_s: float
    most_behind_s: float


class _Load(Struct, kw_only=True):
    """The clients' shared state: they send until `stopping`."""

    target: Target
    period_s: float
    stopping: bool = False
    samples: list[Sample] = field(default_factory=list)


async def swap_under_load(
    target: Target, *, swaps: int, clients: int = 8, per_second: float = 200.0
) -> Report:
    """Promote version 2 and roll back by turns, under a steady load; version 1 must be live.

    Raises LoadTestError where a change is refused, or a worker does not obey it.
    """
    load = _Load(target=target, period_s=clients / per_second)
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(_send_steadily(load, number / per_second))
        try:
            made = await _swap(target, swaps)
        finally:
            load.stopping = True
    return report(load.samples, made)


async def _send_steadily(load: _Load, offset_s: float) -> None:
    meant = time.monotonic() + offset_s
    async with load.target.client() as client:
        while not load.stopping:
            await asyncio.sleep(max(0.0, meant - time.monotonic()))
            load.samples.append(await _ask(client, load.target, meant))
            meant += load.period_s


async def _ask(client: httpx.AsyncClient, target: Target, meant: float) -> Sample:
    left = time.monotonic()
    version = fault = ""
    try:
        answer = await client.post(f"/v2/models/{target.model}/infer", json=target.body)
        if answer.status_code == 200:
            version, fault = _check(answer.json(), target)
        else:
            fault = f"status {answer.status_code}: {answer.text}"
    except httpx.HTTPError as error:
        fault = f"{type(error).__name__}: {error}"
    return Sample(meant=meant, left=left, answered=time.monotonic(), version=version, fault=fault)


def _check(answer: Mapping[str, Any], target: Target) -> tuple[str, str]:
    version = answer["model_version"]
    found = {output["name"]: output["data"] for output in answer["outputs"]}[target.output]
    wanted = target.expected[version]
    if np.shape(found) == np.shape(wanted) and np.allclose(found, wanted, rtol=0, atol=TOLERANCE):
        return version, ""
    return version, f"version {version} answered {found}"


async def _swap(target: Target, swaps: int) -> list[Swap]:
    made: list[Swap] = []
    async with target.client() as client:
        for number in range(swaps):
            await asyncio.sleep(_SETTLE_S)
            is_promotion = number % 2 == 0
            if is_promotion:
                verb, change = "promotions", {"version": 2, "reason": "a swap under load"}
            else:
                verb, change = "rollback", {"reason": "a swap under load"}
            asked = time.monotonic()
            answer = await client.post(f"/admin/models/{target.model}/{verb}", json=change)
            answered = time.monotonic()
            if answer.status_code != 200:
                raise LoadTestError(f"The change was refused: {answer.text}")
            obeyed = await _wait_until_obeyed(client, target, answered)
            old = "1" if is_promotion else "2"
            made.append(Swap(old=old, asked=asked, answered=answered, obeyed=obeyed))
        await asyncio.sleep(_SETTLE_S)
    return made


async def _wait_until_obeyed(client: httpx.AsyncClient, target: Target, since: float) -> float:
    while time.monotonic() - since < _LONGEST_SWAP_S:
        shown = (await client.get(f"/admin/models/{target.model}")).json()
        if all(worker["generation"] >= shown["generation"] for worker in shown["workers"]):
            return time.monotonic()
        await asyncio.sleep(_POLL_S)
    raise LoadTestError(f"A worker did not obey within {_LONGEST_SWAP_S:g} s.")


def report(samples: Sequence[Sample], swaps: Sequence[Swap]) -> Report:
    """Judge the samples of a run by its swaps."""
    failures = [sample.fault for sample in samples if sample.fault]
    longest_old_s = 0.0
    during: list[float] = []
    ends = [*(swap.asked for swap in swaps), float("inf")][1:]
    for swap, end in zip(swaps, ends, strict=True):
        for sample in samples:
            if swap.answered <= sample.meant <= swap.obeyed:
                during.append(sample.answered - sample.meant)
            # What was answered after the next change was asked for may have met that one.
            if sample.version != swap.old or sample.answered >= end:
                continue
            if sample.left > swap.obeyed:
                failures.append(f"version {swap.old} answered after every worker had left it")
            longest_old_s = max(longest_old_s, sample.answered - swap.answered)
    latencies = [sample.answered - sample.meant for sample in samples]
    return Report(
        swaps=len(swaps),
        requests=len(samples),
        failures=failures,
        longest_to_obey_s=max((swap.obeyed - swap.answered for swap in swaps), default=0.0),
        longest_old_answer_s=longest_old_s,
        p50_s=_percentile(latencies, 50),
        p99_s=_percentile(latencies, 99),
        p99_in_swaps_s=_percentile(during, 99),
        most_behind_s=max((sample.left - sample.meant for sample in samples), default=0.0),
    )


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


def tabulate(found: Report) -> Table:
    """Show what clients met."""
    table = Table(title="Changes of champion under load", show_header=False)
    rows = {
        "changes of champion": f"{found.swaps}",
        "requests": f"{found.requests:,}",
        "failures": f"{len(found.failures)}",
        "longest until every worker obeyed": f"{found.longest_to_obey_s * 1000:.0f} ms",
        "last answer of the version before": f"{found.longest_old_answer_s * 1000:.0f} ms",
        "p50": f"{found.p50_s * 1000:.1f} ms",
        "p99": f"{found.p99_s * 1000:.1f} ms",
        "p99 of requests during changes": f"{found.p99_in_swaps_s * 1000:.1f} ms",
        "most that a client was behind its rate": f"{found.most_behind_s * 1000:.1f} ms",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def run(folder: Path, *, swaps: int, workers: int, per_second: float) -> Report:
    """Serve two versions with different answers, and swap them under load."""
    data_dir = folder / "data"
    versions = [train(strength=1.0), train(strength=0.01)]
    drafts = [(one.artifact, one.draft) for one in versions]
    key = publish(data_dir, MODEL, drafts)
    with run_server(gateway_command(data_dir, workers=workers), folder / "log") as server:
        wait_until_ready(server, lambda client: client.get("/v2/health/ready").status_code == 200)
        target = Target(
            url=server.url,
            key=key,
            model=MODEL,
            body=versions[0].body("swap"),
            output=PROBABILITIES,
            expected={str(n): one.probabilities for n, one in enumerate(versions, 1)},
        )
        return asyncio.run(swap_under_load(target, swaps=swaps, per_second=per_second))


@click.command()
@click.option("--swaps", default=20, show_default=True, help="Changes of champion.")
@click.option("--workers", default=2, show_default=True, help="Workers of the gateway.")
@click.option("--per-second", default=200.0, show_default=True, help="Requests of all clients.")
def main(swaps: int, workers: int, per_second: float) -> None:
    """Promote and roll back under load; ends with status 1 if any request failed."""
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="swap-") as folder:
            found = run(Path(folder), swaps=swaps, workers=workers, per_second=per_second)
    except LoadTestError as error:
        console.print(str(error))
        sys.exit(1)
    console.print(tabulate(found))
    for failure in found.failures[:10]:
        console.print(failure, style="red", markup=False)
    sys.exit(1 if found.failures else 0)


if __name__ == "__main__":
    main()
