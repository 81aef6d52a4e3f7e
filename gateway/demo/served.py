"""The gateway of the demonstration: who takes part, how it is served, and how it is asked."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from rich.progress import Progress

from gateway.demo.flights import Flight
from gateway.demo.replay import MODEL, Reply, replay
from gateway.security import Role, make_key
from registry.errors import StoreUnavailable
from registry.manifest import Draft
from registry.recording import Author
from registry.registry import Registry
from registry.times import now

DEMO = Author(principal="local:demo")
_START_S = 30.0
_FOLLOW_S = 30.0
# The demo's callers share its machine, and shed requests would count as errors of both versions.
_PATIENT = ("--queue-limit", "1")


class Cast(Struct, frozen=True):
    """The tokens of those who take part, each with the one role it needs.

    Ann has two keys, one to ask for changes and one to approve those of others; Ben approves.
    """

    caller: str
    viewer: str
    publisher: str
    ann: str
    ann_again: str
    ben: str
    auditor: str
    admin: str


def make_cast(registry: Registry) -> Cast:
    """Make a key for each of those who take part."""
    people = (
        (Role.INVOKER, None),
        (Role.VIEWER, None),
        (Role.PUBLISHER, None),
        (Role.DEPLOYER, "ann"),
        (Role.APPROVER, "ann"),
        (Role.APPROVER, "ben"),
        (Role.AUDITOR, None),
        (Role.ADMIN, None),
    )
    return Cast(*(_make_key(registry, role, owner) for role, owner in people))


class Gateway:
    """A served data directory, asked over HTTP by the demo's cast."""

    def __init__(self, url: str, cast: Cast, progress: Progress) -> None:
        self.url = url
        self.cast = cast
        self._progress = progress
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def ask(self, token: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Call a route as the holder of a token, whatever it answers."""
        headers = {"authorization": f"Bearer {token}"}
        return self._client.request(method, path, headers=headers, **options)

    def call(self, token: str, method: str, path: str, **options: Any) -> Any:
        """Call a route, and return its JSON. Raises httpx.HTTPStatusError for an error."""
        response = self.ask(token, method, path, **options)
        response.raise_for_status()
        return response.json()

    def publish(self, artifact: bytes, draft: Draft) -> int:
        """Publish a version, and return its number."""
        files = {
            "model": ("model.onnx", artifact, "application/octet-stream"),
            "manifest": ("manifest.json", msgspec.json.encode(draft), "application/json"),
        }
        path = f"/admin/models/{MODEL}/versions"
        published = self.call(self.cast.publisher, "POST", path, files=files)
        number: int = published["version"]["number"]
        return number

    def replay(self, flights: Sequence[tuple[int, Flight]], what: str) -> list[Reply]:
        """Ask for flights as a caller."""
        task = self._progress.add_task(what, total=len(flights))
        advance = lambda: self._progress.advance(task)  # noqa: E731 - a callback of one line
        try:
            return asyncio.run(replay(self.url, self.cast.caller, flights, advance))
        finally:
            self._progress.remove_task(task)

    def tell_outcomes(self, flights: Sequence[tuple[int, Flight]], replies: Sequence[Reply]) -> int:
        """Tell which flights were late, and return how many labels were new."""
        labels = [
            {"record_id": reply.record_id, "value": flight.late}
            for (_, flight), reply in zip(flights, replies, strict=True)
        ]
        path = f"/v2/models/{MODEL}/feedback"
        taken = [
            self.call(self.cast.caller, "POST", path, json={"labels": labels[begin : begin + 1000]})
            for begin in range(0, len(labels), 1000)
        ]
        return sum(batch["new"] for batch in taken)

    def wait_for_workers(self) -> float:
        """Wait until every worker obeys the newest generation; return how many ms that took."""
        started = time.perf_counter()
        while time.perf_counter() - started < _FOLLOW_S:
            model = self.call(self.cast.viewer, "GET", f"/admin/models/{MODEL}")
            if all(worker["generation"] >= model["generation"] for worker in model["workers"]):
                break
            time.sleep(0.01)
        return (time.perf_counter() - started) * 1000


@contextmanager
def serving(data_dir: Path, port: int, workers: int) -> Iterator[str]:
    """Serve until the block ends. Raises StoreUnavailable where nothing answers in time."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gateway.cli", "serve", "--data-dir", str(data_dir)]
    log = data_dir / "gateway.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", str(workers), *_PATIENT],
            stdout=stream,
            stderr=stream,
        )
    try:
        _wait_until_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait()


def _make_key(registry: Registry, role: Role, owner: str | None) -> str:
    name = f"{owner or 'demo'} {role}"
    key, token = make_key(
        name=name, roles=[role], author=DEMO.principal, created=now(), owner=owner
    )
    registry.add_key(key, DEMO)
    return token


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    sys.stderr.write(log.read_text())
    raise StoreUnavailable(f"no gateway answers at {url}")
