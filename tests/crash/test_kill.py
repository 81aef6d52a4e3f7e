"""Processes are killed at random moments under load, and no acknowledged record is ever lost.

A kill does not test syncing, since the page cache outlives the process; it tests the order of
write, answer and integration, and that every restart finds its way.
"""

import os
import random
import signal
import socket
import statistics
import threading
import time
from pathlib import Path

import apsw
import pytest

from registry.audit.query import AuditTrail
from registry.registry import Registry
from tests.builders import Gateway, add_key, linear_model, publish, serving
from tests.crash.ledger import Callers, check_log, lost_records

WORKERS = 2


def test_no_acknowledged_record_is_lost_in_40_kills(tmp_path: Path, registry: Registry) -> None:
    run_kills(tmp_path, registry, process_kills=20, group_kills=20, seed=1)


@pytest.mark.torture
def test_no_acknowledged_record_is_lost_in_500_kills(tmp_path: Path, registry: Registry) -> None:
    run_kills(tmp_path, registry, process_kills=250, group_kills=250, seed=2)


def test_the_check_finds_a_record_that_was_acknowledged_and_not_kept(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    (tmp_path / "journal").mkdir()
    trail = AuditTrail(registry.store, tmp_path / "journal")

    lost = lost_records(trail, {"01a20000-0000-7000-8000-000000000000": "request-1"})

    assert lost == ["01a20000-0000-7000-8000-000000000000"]


def run_kills(
    data_dir: Path, registry: Registry, *, process_kills: int, group_kills: int, seed: int
) -> None:
    """Kill single processes under a living supervisor, then whole groups, and hold the ledger."""
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    moments = random.Random(seed)
    port = _free_port()
    trail = AuditTrail(registry.store, data_dir / "journal")
    restarts_s: list[float] = []

    with (
        serving(data_dir, workers=WORKERS, port=port) as gateway,
        Callers(gateway.url, token, "sum") as callers,
    ):
        for number in range(process_kills):
            _wait_at_random(moments)
            restarts_s.append(_kill_one(gateway, number))
    ledgers = [callers]

    for _ in range(group_kills):
        started = time.monotonic()
        with serving(data_dir, workers=WORKERS, port=port) as gateway:
            restarts_s.append(time.monotonic() - started)
            with Callers(gateway.url, token, "sum") as callers:
                _wait_at_random(moments)
                gateway.kill_group()
        ledgers.append(callers)

    acknowledged: dict[str, str] = {}
    for callers in ledgers:
        assert callers.unexpected == []
        acknowledged |= callers.acknowledged
    assert lost_records(trail, acknowledged) == []
    stored = check_log(registry, data_dir / "journal")
    assert acknowledged, "the callers got no answer at all"
    assert stored >= len(acknowledged)
    with apsw.Connection(str(data_dir / "store.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print(
        f"\n{process_kills + group_kills} kills: {len(acknowledged)} acknowledged, 0 lost, "
        f"{stored - len(acknowledged)} stored without an answer, restart median "
        f"{statistics.median(restarts_s):.2f} s, longest {max(restarts_s):.2f} s"
    )


def _kill_one(gateway: Gateway, number: int) -> float:
    """Kill a worker, or each fourth time the controller; return the seconds until it is back."""
    is_worker = number % 4 != 3
    victims = _children(gateway, "gateway.worker" if is_worker else "gateway.controller")
    started = time.monotonic()
    os.kill(victims[number % len(victims)], signal.SIGKILL)
    gateway.wait_for("process_ended")
    gateway.wait_for("worker_ready" if is_worker else "controller_ready")
    return time.monotonic() - started


def _children(gateway: Gateway, module: str) -> list[int]:
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def _wait_at_random(moments: random.Random) -> None:
    # The moment of the kill is the test's input, so it is the one thing that is waited for.
    threading.Event().wait(moments.uniform(0.05, 0.5))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
