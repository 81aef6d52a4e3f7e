"""What changes together, what is seen of it meanwhile, and by whom."""

import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from multiprocessing import get_context

import pytest

from registry.records import Kind, RecordFilter
from registry.store import Store, Transaction
from registry.tlog.tree import leaf_hash
from registry.versions import VersionState
from registry.workers import SettingName, WorkerStatus
from tests.contracts.place import Place
from tests.contracts.stored import (
    START,
    everything,
    fill,
    make_change,
    make_destination,
    make_entries,
    make_event,
    make_key,
    make_record,
    make_rollout,
    make_rollout_change,
    make_setting,
    make_version,
)

CHANGES: dict[str, Callable[[Transaction], None]] = {
    "add_version": lambda tx: tx.add_version(make_version(3)),
    "set_state": lambda tx: tx.set_state("m", 2, VersionState.RETIRED),
    "add_alias_change": lambda tx: tx.add_alias_change(make_change(2)),
    "add_key": lambda tx: tx.add_key(make_key("other")),
    "revoke_key": lambda tx: tx.revoke_key("key-k", START),
    "put_setting": lambda tx: tx.put_setting(make_setting(value="other")),
    "remove_setting": lambda tx: tx.remove_setting(SettingName.UNLOADED, "m"),
    "add_rollout": lambda tx: tx.add_rollout(
        make_rollout("other", challenger=1), make_rollout_change("other")
    ),
    "change_rollout": lambda tx: tx.change_rollout(
        make_rollout(is_paused=True), make_rollout_change(is_paused=True)
    ),
}
# What no worker obeys.
NOTIFICATIONS: dict[str, Callable[[Transaction], None]] = {
    "add_destination": lambda tx: tx.add_destination(make_destination("other")),
    "pause_destination": lambda tx: tx.pause_destination("d", START),
    "resume_destination": lambda tx: tx.resume_destination("d", START - timedelta(days=1)),
    "remove_destination": lambda tx: tx.remove_destination("d"),
    "add_event": lambda tx: tx.add_event(make_event(1), ["d"]),
    "send_again": lambda tx: tx.send_again(1, START + timedelta(days=1)),
}
RECORDED = CHANGES | NOTIFICATIONS


@pytest.mark.parametrize("change", RECORDED.values(), ids=RECORDED)
def test_a_change_without_a_record_is_refused_and_undone(
    store: Store, change: Callable[[Transaction], None]
) -> None:
    fill(store)
    before = everything(store)
    with pytest.raises(RuntimeError, match="without an audit record"), store.write() as tx:
        change(tx)
    assert everything(store) == before


@pytest.mark.parametrize("change", RECORDED.values(), ids=RECORDED)
def test_an_error_undoes_the_change_and_its_record(
    store: Store, change: Callable[[Transaction], None]
) -> None:
    fill(store)
    before = everything(store)
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        change(tx)
        tx.append(make_record())
        raise ZeroDivisionError
    assert everything(store) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_moves_the_generation_by_one(
    store: Store, change: Callable[[Transaction], None]
) -> None:
    fill(store)
    before = store.generation()
    with store.write() as tx:
        change(tx)
        tx.append(make_record())
    assert store.generation() == before + 1


def test_the_generation_stands_still_where_workers_have_nothing_new_to_obey(store: Store) -> None:
    fill(store)
    before = store.generation()
    with store.write():
        pass
    with store.write() as tx:
        tx.append(make_record())
    store.integrate("one", 0, 9, make_entries(1))
    store.report_worker(WorkerStatus(worker="w", pid=1, generation=1, failures={}))
    store.clear_workers()
    store.forget_segment("one")
    assert store.generation() == before


@pytest.mark.parametrize("change", NOTIFICATIONS.values(), ids=NOTIFICATIONS)
def test_whom_to_tell_is_nothing_that_workers_obey(
    store: Store, change: Callable[[Transaction], None]
) -> None:
    fill(store)
    before, generation = everything(store), store.generation()
    with store.write() as tx:
        change(tx)
        tx.append(make_record())
    assert store.generation() == generation
    assert everything(store) != before


def test_several_changes_in_one_transaction_move_the_generation_once(store: Store) -> None:
    before = store.generation()
    fill(store)
    assert store.generation() == before + 1


def test_a_snapshot_answers_from_one_state(place: Place, store: Store) -> None:
    fill(store)
    other = place.open()
    with store.snapshot() as view:
        generation = view.generation()
        with other.write() as tx:
            tx.add_version(make_version(3))
            tx.append(make_record())
        other.integrate("one", 0, 9, make_entries(5))
        assert view.generation() == generation
        assert len(view.versions("m")) == 2
        assert view.positions() == {}
        assert len(view.records(RecordFilter(), before=None, limit=9)) == 1
    assert len(store.versions("m")) == 3
    assert store.positions() == {"one": 9}
    other.close()


def test_a_snapshot_ends_also_after_an_error(store: Store) -> None:
    with suppress(ZeroDivisionError), store.snapshot():
        raise ZeroDivisionError
    fill(store)
    assert store.models() == ["m"]


def test_a_transaction_sees_its_own_changes_and_nobody_else_does(
    place: Place, store: Store
) -> None:
    other = place.open()
    with store.write() as tx:
        tx.add_version(make_version(1))
        tx.append(make_record())
        assert tx.models() == ["m"]
        assert other.models() == []
        assert other.generation() == 0
    assert other.models() == ["m"]
    other.close()


def add_numbered(store: Store, count: int) -> list[int]:
    """Add versions as the registry numbers them, each with a record of its own."""
    numbers = []
    for _ in range(count):
        with store.write() as tx:
            numbers.append(len(tx.versions("m")) + 1)
            tx.add_version(make_version(numbers[-1]))
            tx.append(make_record(kind=Kind.ADMIN))
    return numbers


def integrate_steps(store: Store, segment: str, steps: int) -> None:
    for step in range(steps):
        store.integrate(segment, step * 10, step * 10 + 10, make_entries(1, 2, 3))


def work_in_process(place: Place, segment: str, count: int) -> list[int]:
    store = place.open()
    numbers = add_numbered(store, count)
    integrate_steps(store, segment, count)
    store.close()
    return numbers


def assert_dense(store: Store, numbers: list[int], records: int) -> None:
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    found = store.records(RecordFilter(), before=None, limit=100_000)
    assert sorted(index for index, _ in found) == list(range(records))
    hashes = [leaf_hash(leaf) for _, leaf in sorted(found)]
    assert b"".join(store.tile(0, n) for n in range(records // 256 + 1)) == b"".join(hashes)
    assert store.generation() == len(numbers)


def test_threads_that_change_and_integrate_leave_no_gap_in_the_log(store: Store) -> None:
    barrier = threading.Barrier(6)

    def change() -> list[int]:
        barrier.wait()
        return add_numbered(store, 15)

    def bring(segment: str) -> list[int]:
        barrier.wait()
        integrate_steps(store, segment, 15)
        return []

    with ThreadPoolExecutor(6) as pool:
        changes = [pool.submit(change) for _ in range(3)]
        bring_ins = [pool.submit(bring, f"s{number}") for number in range(3)]
        numbers = [number for future in changes + bring_ins for number in future.result()]
    assert_dense(store, numbers, 45 + 3 * 45)


def test_processes_that_change_and_integrate_leave_no_gap_in_the_log(place: Place) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(work_in_process, place, f"s{n}", 12) for n in range(3)]
        numbers = [number for future in futures for number in future.result()]
    store = place.open()
    assert_dense(store, numbers, 36 + 3 * 36)
    store.close()
