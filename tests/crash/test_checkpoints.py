"""Killed at any step of signing and publishing, the log never tells two histories.

After each kill every checkpoint that was ever kept or published is compared with the tree as it is
now, as a witness would who has seen all of them.
"""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.audit.published import read_published
from registry.entry import Entry, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.registry import Registry
from registry.store import Store, open_store
from registry.tlog.note import Checkpoint
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash
from tests.builders import add_key, linear_model, publish, serving
from tests.crash.halting import NEVER, STEPS
from tests.crash.ledger import Callers


def test_20_kills_on_the_way_to_a_checkpoint_leave_one_history(tmp_path: Path) -> None:
    run_kills(tmp_path, kills=20, seed=1)


@pytest.mark.torture
def test_300_kills_on_the_way_to_a_checkpoint_leave_one_history(tmp_path: Path) -> None:
    run_kills(tmp_path, kills=300, seed=2)


def run_kills(data_dir: Path, *, kills: int, seed: int) -> None:
    chosen = random.Random(seed)
    store = open_store(data_dir)
    seen: set[Checkpoint] = set()
    for number in range(kills):
        add_records(store, f"{number}", chosen.randrange(1, 400))
        killed = publish_until(data_dir, chosen.choice([s for s in STEPS if s != NEVER]))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        check_history(store, data_dir, seen)
        if chosen.random() < 0.5:
            assert publish_until(data_dir, NEVER).returncode == 0
            check_history(store, data_dir, seen)
            assert published(data_dir) == kept(store)
    assert len(store.origins()) == 1, "a kill was taken for a restored backup"
    assert store.records(RecordFilter(kind=Kind.ORIGIN), before=None, limit=1) == []
    assert len(seen) > kills // 2
    store.close()


def test_the_check_finds_a_history_that_was_told_otherwise(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    add_records(store, "one", 3)
    assert publish_until(tmp_path, NEVER).returncode == 0
    false = Checkpoint("gateway.example/log", 2, bytes(32))
    with pytest.raises(AssertionError, match="another history"):
        check_history(store, tmp_path, {false})
    store.close()


def check_history(store: Store, data_dir: Path, seen: set[Checkpoint]) -> None:
    """Hold all checkpoints seen so far, and those that are there now, against the tree."""
    seen |= {Checkpoint.read(one.note) for one in store.checkpoints()}
    note = read_published(data_dir / "checkpoint")
    if note is not None:
        shown = Checkpoint.read(note)
        last = store.checkpoint()
        assert last is not None, "published before it was kept"
        assert shown.size <= last.size, "published before it was kept"
        seen.add(shown)
    nodes = TileNodes(store.tile)
    assert {one.origin for one in seen} <= {"gateway.example/log"}
    for one in seen:
        assert root_hash(one.size, nodes) == one.root, "another history"


def publish_until(data_dir: Path, step: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash.halting", str(data_dir), step]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def published(data_dir: Path) -> Checkpoint:
    return Checkpoint.read(read_published(data_dir / "checkpoint") or "")


def kept(store: Store) -> Checkpoint:
    last = store.checkpoint()
    assert last is not None
    return Checkpoint.read(last.note)


def add_records(store: Store, segment: str, count: int) -> None:
    entries = []
    for number in range(count):
        record = AuditRecord(
            id=new_record_id(number),
            time=str(number),
            kind=Kind.INFERENCE,
            outcome=Outcome.ANSWERED,
        )
        entries.append(Entry(encode_record(record), None))
    store.integrate(segment, 0, 9, entries)


def test_what_was_acknowledged_before_a_kill_is_published_soon_after_the_restart(
    tmp_path: Path, registry: Registry
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    with serving(tmp_path) as gateway, Callers(gateway.url, token, "sum") as callers:
        callers.wait_for_answers(300)
        gateway.kill_group()

    with serving(tmp_path) as gateway, gateway.client(token) as client:
        started = time.monotonic()
        for record_id in callers.acknowledged:
            while client.get(f"/audit/records/{record_id}/proof").status_code != 200:
                assert time.monotonic() - started < 10 * (1 + gateway.started_s)
        assert client.get("/audit/vkeys").json()[0]["since"] == 0
        assert len(client.get("/audit/vkeys").json()) == 1
