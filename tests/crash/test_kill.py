"""Processes are killed at random moments under load, and no acknowledged record is ever lost.

A kill does not test syncing, since the page cache outlives the process; it tests the order of
write, answer and integration, and that every restart finds its way.
"""

import os
import random
import shutil
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from registry.audit.query import AuditTrail
from registry.registry import Registry
from registry.store import open_store
from tests.builders import Count, Gateway, add_key, linear_model, open_registry, publish, serving
from tests.crash.checker import Verdict, check, copy_left, memory_folder, open_and_check
from tests.crash.ledger import CALLERS, Callers, lost_records, missing_records
from tests.crash.processes import children, wait_for_end

WORKERS = 2
SEGMENT_AGE_S = 0.2
ORPHANS_END_WITHIN_S = 30


class Kills(Struct):
    """What the world was told, how many records nobody was told of, and how long restarts took."""

    acknowledged: dict[str, str] = {}
    published: list[str] = []
    unanswered: int = 0
    restarts_s: list[float] = []


def test_no_acknowledged_record_is_lost_in_40_kills(tmp_path: Path, count: Count) -> None:
    kill_gateways(tmp_path, count, seeds=range(4))


@pytest.mark.torture
def test_no_acknowledged_record_is_lost_in_500_kills(tmp_path: Path, count: Count) -> None:
    kill_gateways(tmp_path, count, seeds=range(4, 54))


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
        callers.wait_for_answers(3000)  # longer than such a gateway takes to write
        gateway.kill_group()

    lost = lost_records(trail, callers.acknowledged)
    assert 0 < len(lost) < len(callers.acknowledged)
    assert missing_records(trail, callers.acknowledged) == lost


def kill_gateways(folder: Path, count: Count, *, seeds: range) -> None:
    """Kill one gateway after the other ten times each, so that what a check reads stays small."""
    done: list[Kills] = []
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, memory_folder() as copies:
        for seed in seeds:
            data_dir = folder / str(seed)
            registry = open_registry(data_dir)
            inspector = Inspector(pool, copies / str(seed))
            done.append(run_kills(data_dir, registry, inspector, rounds=5, seed=seed))
            registry.store.close()
            shutil.rmtree(data_dir)
    count(_summary(done, 10 * len(seeds)))


class Inspector:
    """Checks what gateways left in a process of its own, while the next one is killed."""

    def __init__(self, pool: ProcessPoolExecutor, copies: Path) -> None:
        self._pool = pool
        self._copies = copies
        self._verdicts: list[Future[Verdict]] = []
        copies.mkdir()

    def inspect(self, data_dir: Path, latest: dict[str, str], kills: Kills) -> None:
        """Take a copy, in which all that was acknowledged so far must be, and the latest at once.

        The latest are found by their ids before a journal is integrated, and all after that.
        """
        copy = self._copies / str(len(self._verdicts))
        copy_left(data_dir, copy)
        told = (latest, dict(kills.acknowledged), list(kills.published))
        self._verdicts.append(self._pool.submit(_check_left, copy, *told))

    def verdicts(self) -> list[Verdict]:
        """Return what was found of each copy, in their order."""
        return [verdict.result() for verdict in self._verdicts]


def _check_left(
    copy: Path, latest: dict[str, str], acknowledged: dict[str, str], published: list[str]
) -> Verdict:
    store = open_store(copy)
    missing = missing_records(AuditTrail(store, copy / "journal"), latest)
    store.close()
    verdict = open_and_check(copy, acknowledged, published)
    shutil.rmtree(copy)
    return replace(verdict, lost=(*verdict.lost, *missing))


def run_kills(
    data_dir: Path, registry: Registry, inspector: Inspector, *, rounds: int, seed: int
) -> Kills:
    """Kill one process and then the whole group or its supervisor, in each round; check each time.

    Workers leave a segment so soon that kills meet the change from one to the next.

    The group is started anew on the same folder and port. Each restart also ends the delay with
    which a supervisor restarts what it finds failing again and again.
    """
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    moments = random.Random(seed)
    port = _free_port()
    kills = Kills()

    for number in range(rounds):
        started = time.monotonic()
        options = ("--segment-age", str(SEGMENT_AGE_S))
        with serving(data_dir, *options, workers=WORKERS, port=port) as gateway:
            kills.restarts_s.append(time.monotonic() - started)
            with Callers(gateway.url, token, "sum") as callers:
                _wait_at_random(moments)
                kills.restarts_s.append(_kill_one(gateway, number))
                _wait_at_random(moments)
                _end_all(gateway, number)
        assert callers.unexpected == []
        kills.acknowledged |= callers.acknowledged
        kills.published.append((data_dir / "checkpoint").read_text())
        inspector.inspect(data_dir, callers.acknowledged, kills)

    assert kills.acknowledged, "the callers got no answer at all"
    verdict = check(registry.store, data_dir, kills.acknowledged, kills.published)
    for number, one in enumerate([*inspector.verdicts(), verdict]):
        assert one.is_clean, (number, one)
    # A kill leaves at most one record of each caller without its answer.
    kills.unanswered = verdict.inferences - len(kills.acknowledged)
    assert 0 <= kills.unanswered <= 2 * rounds * CALLERS
    return kills


def _summary(done: list[Kills], kills: int) -> str:
    restarts_s = [one for kills_of in done for one in kills_of.restarts_s]
    acknowledged = sum(len(one.acknowledged) for one in done)
    unanswered = sum(one.unanswered for one in done)
    return (
        f"{kills} kills: {acknowledged} acknowledged, 0 lost, "
        f"{unanswered} stored without an answer, "
        f"restart median {statistics.median(restarts_s):.2f} s, longest {max(restarts_s):.2f} s"
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


def _end_all(gateway: Gateway, number: int) -> None:
    """Kill the whole group, or each fourth time the supervisor, and wait for what ends with it."""
    if number % 4 != 3:
        gateway.kill_group()
        return
    processes = children(gateway, "gateway.")
    gateway.process.kill()
    wait_for_end(processes, ORPHANS_END_WITHIN_S)


def _wait_at_random(moments: random.Random) -> None:
    # The moment of the kill is the test's input, so it is the one thing that is waited for.
    threading.Event().wait(moments.uniform(0.02, 0.4))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
