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
from tests.crash.ledger import CALLERS, Callers, check_log, lost_records, missing_records
from tests.crash.processes import children

WORKERS = 2


def test_no_acknowledged_record_is_lost_in_40_kills(tmp_path: Path, registry: Registry) -> None:
    run_kills(tmp_path, registry, rounds=20, seed=1)


@pytest.mark.torture
def test_no_acknowledged_record_is_lost_in_500_kills(tmp_path: Path, registry: Registry) -> None:
    run_kills(tmp_path, registry, rounds=250, seed=2)


def test_the_check_finds_what_a_gateway_lost_that_answers_too_early(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    trail = AuditTrail(registry.store, tmp_path / "journal")

    with (
        serving(tmp_path, module="tests.crash.hasty") as gateway,
        Callers(gateway.url, token, "sum") as callers,
    ):
        callers.wait_for_answers(500)
        gateway.kill_group()

    lost = lost_records(trail, callers.acknowledged)
    assert 0 < len(lost) < len(callers.acknowledged)
    assert missing_records(trail, callers.acknowledged) == lost


def run_kills(data_dir: Path, registry: Registry, *, rounds: int, seed: int) -> None:
    """Kill one process and then the whole group, in each round, and hold the ledger.

    The group is started anew on the same folder and port. Each restart also ends the delay with
    which a supervisor restarts what it finds failing again and again.
    """
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    moments = random.Random(seed)
    port = _free_port()
    trail = AuditTrail(registry.store, data_dir / "journal")
    acknowledged: dict[str, str] = {}
    restarts_s: list[float] = []

    for number in range(rounds):
        started = time.monotonic()
        with serving(data_dir, workers=WORKERS, port=port) as gateway:
            restarts_s.append(time.monotonic() - started)
            with Callers(gateway.url, token, "sum") as callers:
                _wait_at_random(moments)
                restarts_s.append(_kill_one(gateway, number))
                _wait_at_random(moments)
                gateway.kill_group()
        assert callers.unexpected == []
        assert missing_records(trail, callers.acknowledged) == []
        acknowledged |= callers.acknowledged

    assert acknowledged, "the callers got no answer at all"
    stored = check_log(registry, data_dir / "journal")
    assert lost_records(trail, acknowledged) == []
    # A kill leaves at most one record of each caller without its answer.
    assert len(acknowledged) <= stored <= len(acknowledged) + 2 * rounds * CALLERS
    with apsw.Connection(str(data_dir / "store.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print(
        f"\n{2 * rounds} kills: {len(acknowledged)} acknowledged, 0 lost, "
        f"{stored - len(acknowledged)} stored without an answer, restart median "
        f"{statistics.median(restarts_s):.2f} s, longest {max(restarts_s):.2f} s"
    )


def _kill_one(gateway: Gateway, number: int) -> float:
    """Kill a worker, or each third time the controller; return the seconds until it is back."""
    is_worker = number % 3 != 2
    victims = children(gateway, "gateway.worker" if is_worker else "gateway.controller")
    started = time.monotonic()
    os.kill(victims[number % len(victims)], signal.SIGKILL)
    gateway.wait_for("process_ended")
    gateway.wait_for("worker_ready" if is_worker else "controller_ready")
    return time.monotonic() - started


def _wait_at_random(moments: random.Random) -> None:
    # The moment of the kill is the test's input, so it is the one thing that is waited for.
    threading.Event().wait(moments.uniform(0.05, 0.5))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
