"""A server under load: its processes, the core that holds them, and the time they take."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from gateway.security import Role, make_key
from loadtests.errors import LoadTestError
from loadtests.machine import pin
from registry.artifacts import Artifacts
from registry.manifest import Draft
from registry.recording import Author
from registry.registry import Registry
from registry.store import open_store
from registry.times import now

AUTHOR = Author(principal="local:loadtests")
PORT = "PORT"
_START_S = 60.0
_STOP_S = 60.0
_PORTS = range(20_000, 2**15)
_TRIES = 100
_TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_PARTS = {
    b"gateway.supervisor": "rest",  # which names the module that its workers run
    b"gateway.worker": "worker",
    b"loadtests.modes": "worker",
    b"gateway.controller": "controller",
}


class Server:
    """A group of processes that answers at `url`; `cpu_s` tells what each part of it has used."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.url = url
        self._process = process

    def cpu_s(self) -> dict[str, float]:
        """Return seconds of processor time so far, by the part that a process plays."""
        return self._by_part(_cpu_s)

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory in use, by the part that a process plays.

        It is the proportional set size: what processes share is counted once among them.
        """
        found = self._by_part(_memory_bytes)
        return {part: int(size) for part, size in found.items()}

    def pid(self, part: str) -> int:
        """Return the process that plays a part. Raises LoadTestError where none does."""
        for folder in _family(self._process.pid):
            if _part((folder / "cmdline").read_bytes().split(b"\0")) == part:
                return int(folder.name)
        raise LoadTestError(f"The server has no process that is its {part}.")

    def _by_part(self, measure: Callable[[Path], float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for folder in _family(self._process.pid):
            try:
                part = _part((folder / "cmdline").read_bytes().split(b"\0"))
                found[part] = found.get(part, 0) + measure(folder)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
        return found

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it as an operator does; what does not end is killed."""
        if self.has_ended():
            return
        family = _family(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise LoadTestError("The server did not end when it was told to.") from None
        finally:
            # Some leave processes behind, which would take time from whoever is measured next.
            for folder in family:
                with suppress(ProcessLookupError):
                    os.kill(int(folder.name), signal.SIGKILL)
            self._process.wait()


@contextmanager
def run_server(
    command: Sequence[str],
    log: Path,
    *,
    cores: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a command in a process group of its own, held to cores if any are given.

    A free port takes the place of the word `PORT`. What the processes write goes to `log`.
    """
    port = str(_free_port())
    words = [port if word == PORT else word for word in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*pin(cores), *words],
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


def _family(pid: int) -> list[Path]:
    """Return the folders in /proc of a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int(_stat(folder)[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(folder.name))
    family = [pid]
    for member in family:  # grows while it is walked
        family += children.get(member, [])
    return [Path("/proc", str(member)) for member in family]


def _stat(folder: Path) -> list[str]:
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _cpu_s(folder: Path) -> float:
    stat = _stat(folder)
    return (int(stat[11]) + int(stat[12])) / _TICKS


def _memory_bytes(folder: Path) -> float:
    found = _PSS.search((folder / "smaps_rollup").read_text())
    return 1024 * int(found[1]) if found else 0


def _part(words: Sequence[bytes]) -> str:
    if b"serve" not in words:
        for module, part in _PARTS.items():
            if module in words:
                return part
    return "rest"


def _free_port() -> int:
    """Return a port that nothing listens on, below those that connections going out come from.

    The C++ server that is measured reads its port as a signed number of 16 bits.
    """
    for port in random.sample(_PORTS, _TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise LoadTestError("There is no free port.")
