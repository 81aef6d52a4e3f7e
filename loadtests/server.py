"""A server under load: its processes, the core that holds them, and the time they take."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from gateway.security import Role, make_key
from loadtests.errors import LoadTestError
from registry.artifacts import Artifacts
from registry.records import Draft
from registry.registry import Author, Registry
from registry.store import open_store
from registry.times import now

AUTHOR = Author(principal="local:loadtests")
PORT = "PORT"
_START_S = 60.0
_STOP_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A group of processes that answers at `url`; `cpu_s` tells what each part of it has used."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.url = url
        self._process = process

    def cpu_s(self) -> dict[str, float]:
        """Return seconds of processor time so far, by the part that a process plays."""
        used: dict[str, float] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[2]) == self._process.pid:
                part = _part(words)
                used[part] = used.get(part, 0.0) + (int(stat[11]) + int(stat[12])) / _TICKS
        return used

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it as an operator does; what does not end is killed."""
        if self.has_ended():
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise LoadTestError("The server did not end when it was told to.") from None


@contextmanager
def run_server(
    command: Sequence[str],
    log: Path,
    *,
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a command in a process group of its own, held to a core if one is given.

    A free port takes the place of the word `PORT`. What the processes write goes to `log`.
    """
    port = str(_free_port())
    words = [port if word == PORT else word for word in command]
    pin = [] if core is None else ["taskset", "-c", str(core)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*pin, *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.stop()


def gateway_command(data_dir: Path, *, workers: int) -> list[str]:
    """Return how to serve a data directory."""
    return [
        sys.executable, "-m", "gateway.cli", "serve",
        "--data-dir", str(data_dir), "--port", PORT, "--workers", str(workers),
    ]  # fmt: skip


def wait_until_ready(server: Server, is_ready: Callable[[httpx.Client], bool]) -> None:
    """Return once the server is ready. Raises LoadTestError where it ends or takes too long."""
    deadline = time.monotonic() + _START_S
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        while time.monotonic() < deadline and not server.has_ended():
            try:
                if is_ready(client):
                    return
            except httpx.TransportError:
                pass  # nothing listens there yet
            time.sleep(0.05)
    raise LoadTestError("The server did not start.")


def publish(data_dir: Path, model: str, drafts: Sequence[tuple[bytes, Draft]]) -> str:
    """Publish versions 1, 2, 3 …, promote the first, and return a token that may do everything."""
    store = open_store(data_dir)
    try:
        registry = Registry(store, Artifacts(data_dir / "artifacts"))
        for artifact, draft in drafts:
            registry.publish(model, artifact, draft, AUTHOR)
        registry.promote(model, 1, "for a load test", AUTHOR)
        key, token = make_key(name="load", roles=tuple(Role), author="loadtests", created=now())
        registry.add_key(key, AUTHOR)
    finally:
        store.close()
    return token


def _part(words: Sequence[bytes]) -> str:
    for part in (b"gateway.worker", b"gateway.controller"):
        if part in words:
            return part.decode().removeprefix("gateway.")
    return "rest"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
