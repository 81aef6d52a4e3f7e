"""`gateway demo`: two models of real flights, from training to an audited answer."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace as altered
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.demo.flights import (
    REPLAY_MONTH,
    VERSION_1_MONTHS,
    VERSION_2_MONTHS,
    Flight,
    replay_rows,
    train,
)
from gateway.demo.replay import MODEL, Reply, replay
from gateway.demo.report import Summary, print_commands, print_summary
from gateway.security import Role, make_key
from registry.artifacts import Artifacts
from registry.errors import StoreUnavailable
from registry.manifest import Draft
from registry.publishing.metrics import area_under_roc
from registry.registry import Author, Registry
from registry.store import open_store
from registry.times import now

_AUTHOR = Author(principal="local:demo")
_SEED = 7
_START_S = 30.0
_CONSOLE = Console()


class Cast(Struct, frozen=True):
    """The tokens of those who take part, each with the one role it needs."""

    caller: str
    viewer: str
    publisher: str
    deployer: str
    auditor: str


class Gateway:
    """A served data directory, asked over HTTP by the demo's cast."""

    def __init__(self, url: str, cast: Cast, progress: Progress) -> None:
        self.url = url
        self.cast = cast
        self._progress = progress

    def call(self, token: str, method: str, path: str, **options: Any) -> Any:
        """Call a route as the holder of a token. Raises httpx.HTTPStatusError for an error."""
        response = httpx.request(
            method,
            self.url + path,
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
            **options,
        )
        response.raise_for_status()
        return response.json()

    def replay(self, flights: Sequence[Flight], what: str) -> list[Reply]:
        task = self._progress.add_task(what, total=len(flights))
        advance = lambda: self._progress.advance(task)  # noqa: E731 - a callback of one line
        return asyncio.run(replay(self.url, self.cast.caller, flights, advance))

    def wait_for_workers(self) -> float:
        """Wait until every worker obeys the newest generation; return how many ms that took."""
        started = time.perf_counter()
        while True:
            model = self.call(self.cast.viewer, "GET", f"/admin/models/{MODEL}")
            if all(worker["generation"] >= model["generation"] for worker in model["workers"]):
                return (time.perf_counter() - started) * 1000
            time.sleep(0.01)


@click.command()
@click.option("--once", is_flag=True, help="End after the story, with 0 if all went as it should.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--rows", default=2000, show_default=True, help="Flights to replay in each act.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1))
def demo(once: bool, port: int, rows: int, workers: int) -> None:
    """Train on real flights, publish, serve, promote, roll back, and audit."""
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        registry = Registry(open_store(Path(folder)), Artifacts(Path(folder) / "artifacts"))
        with _progress() as progress:
            artifacts = _train(progress)
            cast = Cast(*(_key(registry, role) for role in _ROLES))
            version = registry.publish(MODEL, *artifacts[0], _AUTHOR)
            registry.promote(MODEL, version.number, "first model", _AUTHOR)
            with _serving(Path(folder), port, workers) as url:
                gateway = Gateway(url, cast, progress)
                summary = _play(gateway, artifacts[1], rows)
                progress.stop()
                print_summary(_CONSOLE, summary)
                if not once:
                    print_commands(_CONSOLE, url, cast.caller, cast.deployer, cast.auditor)
                    _wait_for_interrupt()
        registry.store.close()
    if not all(check.holds for check in summary.checks):
        sys.exit(1)


_ROLES = (Role.INVOKER, Role.VIEWER, Role.PUBLISHER, Role.DEPLOYER, Role.AUDITOR)


def _train(progress: Progress) -> list[tuple[bytes, Draft]]:
    task = progress.add_task("Training on real flights", total=2)
    trained = []
    for months in (VERSION_1_MONTHS, VERSION_2_MONTHS):
        trained.append(train(months))
        progress.advance(task)
    return trained


def _play(gateway: Gateway, second: tuple[bytes, Draft], rows: int) -> Summary:
    """Play the story's acts and return what happened."""
    flights = replay_rows(rows, _SEED, REPLAY_MONTH)
    summary = Summary()
    cast = gateway.cast

    first = gateway.replay(flights, "July flights, version 1")
    summary.add_replay("July flights before the promotion", first, expected_version="1")
    unknown, missing = _broken(flights[0])
    summary.add_refusals(gateway.replay([unknown, missing], "Two broken requests"))

    published = gateway.call(
        cast.publisher, "POST", f"/admin/models/{MODEL}/versions", files=_upload(*second)
    )
    number = published["version"]["number"]
    promotion = {"version": number, "reason": "trained on twice the months"}
    gateway.call(cast.deployer, "POST", f"/admin/models/{MODEL}/promotions", json=promotion)
    summary.add_swap(f"Promotion of version {number}", gateway.wait_for_workers())
    after = gateway.replay(flights, "July flights, version 2")
    summary.add_replay("The same flights after the promotion", after, expected_version=str(number))

    rollback = {"reason": "to show that one step undoes it"}
    gateway.call(cast.deployer, "POST", f"/admin/models/{MODEL}/rollback", json=rollback)
    summary.add_swap("Rollback to version 1", gateway.wait_for_workers())
    again = gateway.replay(flights[: max(1, rows // 10)], "July flights, version 1 again")
    summary.add_replay("A tenth of them after the rollback", again, expected_version="1")

    truth = [flight.late for flight in flights]
    for name, replies in (("1", first), ("2", after)):
        summary.add_quality(name, area_under_roc(*_scored(replies, truth)))
    _audit(gateway, summary, [first, after, again])
    return summary


def _audit(gateway: Gateway, summary: Summary, acts: Sequence[Sequence[Reply]]) -> None:
    """Find every answer again, one of them with its payload, and who set what live."""
    cast = gateway.cast
    found = {record["id"] for record in _records(gateway, {"model": MODEL, "kind": "inference"})}
    answered = [reply.record_id for act in acts for reply in act]
    summary.add_audit(answered, found)
    payload = gateway.call(cast.auditor, "GET", f"/audit/records/{answered[0]}/payload")
    summary.add_payload(answered[0], payload)
    history = gateway.call(cast.viewer, "GET", f"/admin/models/{MODEL}/history")
    summary.add_history(history["changes"])


def _records(gateway: Gateway, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        query = {**wanted, **cursor, "limit": "1000"}
        page = gateway.call(gateway.cast.auditor, "GET", "/audit/records", params=query)
        yield from (found["record"] for found in page["records"])
        if page["cursor"] is None:
            return
        cursor = {"cursor": page["cursor"]}


def _broken(flight: Flight) -> tuple[Flight, Flight]:
    """Spoil a flight in two ways: an airline nobody knows, and no distance."""
    return (
        altered(flight, inputs={**flight.inputs, "carrier": "ZZ"}),
        altered(flight, inputs={**flight.inputs, "distance": None}),
    )


def _scored(replies: Sequence[Reply], truth: Sequence[bool]) -> tuple[Any, Any]:
    pairs = [
        (reply.late_probability, late)
        for reply, late in zip(replies, truth, strict=True)
        if reply.late_probability is not None
    ]
    return np.array([score for score, _ in pairs]), np.array([late for _, late in pairs])


def _upload(artifact: bytes, draft: Draft) -> dict[str, tuple[str, bytes, str]]:
    return {
        "model": ("model.onnx", artifact, "application/octet-stream"),
        "manifest": ("manifest.json", msgspec.json.encode(draft), "application/json"),
    }


def _key(registry: Registry, role: Role) -> str:
    key, token = make_key(
        name=f"demo {role}", roles=[role], author=_AUTHOR.principal, created=now()
    )
    registry.add_key(key, _AUTHOR)
    return token


@contextmanager
def _serving(data_dir: Path, port: int, workers: int) -> Iterator[str]:
    """Serve until the block ends. Raises StoreUnavailable where nothing answers in time."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(data_dir)]
    log = data_dir / "gateway.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", str(workers)],
            stdout=stream,
            stderr=stream,
        )
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    _CONSOLE.print(log.read_text())
    raise StoreUnavailable(f"no gateway answers at {url}")


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        _CONSOLE.print("Stopping.")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_CONSOLE,
    )
