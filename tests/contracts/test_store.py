"""What every store promises, whatever database it stands on."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from registry.entry import Entry, decode_record, encode_record
from registry.errors import Conflict, StoreUnavailable
from registry.store import Store, Transaction
from registry.versions import VersionState
from registry.workers import Setting, SettingName, WorkerStatus
from tests.contracts.place import Place
from tests.contracts.stored import (
    PAYLOAD,
    START,
    everything,
    fill,
    make_change,
    make_key,
    make_record,
    make_setting,
    make_version,
)


def test_everything_outlives_the_store_that_wrote_it(place: Place) -> None:
    first = place.open()
    fill(first)
    entries = [Entry(encode_record(make_record(1)), PAYLOAD)]
    first.integrate("one", 0, 77, entries)
    first.report_worker(WorkerStatus(worker="w", pid=1, generation=1, failures={"m/1": "no"}))
    before = everything(first)
    first.close()
    second = place.open()
    assert everything(second) == before
    assert second.payload(decode_record(entries[0].leaf).id) == PAYLOAD
    second.close()


def test_values_come_back_as_they_were_stored(store: Store) -> None:
    later = START + timedelta(days=3, microseconds=1)
    keys = [make_key("a"), make_key("b", roles=("viewer",), expires=later)]
    with store.write() as tx:
        tx.add_version(make_version(1))
        tx.add_alias_change(make_change(1))
        tx.add_alias_change(make_change(None, "blue"))
        for key in keys:
            tx.add_key(key)
        tx.append(make_record())
    assert store.version("m", 1) == make_version(1)
    assert store.alias_changes("m") == [make_change(1), make_change(None, "blue")]
    assert store.api_keys() == keys
    with store.write() as tx:
        tx.revoke_key("key-a", later)
        tx.set_state("m", 1, VersionState.RETIRED)
        tx.append(make_record())
    assert [key.revoked for key in store.api_keys()] == [later, None]
    assert [one.state for one in store.versions("m")] == [VersionState.RETIRED]


def test_a_setting_is_what_was_put_last_for_its_model_or_for_all(store: Store) -> None:
    trace = Setting(name=SettingName.TRACE, model=None, value="{}")
    with store.write() as tx:
        for setting in (make_setting("b"), make_setting(None), make_setting("a"), trace):
            tx.put_setting(setting)
        tx.put_setting(make_setting("b", "other"))
        tx.append(make_record())
    assert store.settings() == [
        trace, make_setting(None), make_setting("a"), make_setting("b", "other"),
    ]  # fmt: skip
    with store.write() as tx:
        tx.remove_setting(SettingName.UNLOADED, None)
        tx.remove_setting(SettingName.UNLOADED, "a")
        tx.remove_setting(SettingName.TRACE, "a")
        tx.append(make_record())
    assert store.settings() == [trace, make_setting("b", "other")]


def test_models_are_sorted_and_versions_stand_by_number(store: Store) -> None:
    with store.write() as tx:
        for model, number in (("b", 2), ("b", 1), ("a", 1), ("b", 10)):
            tx.add_version(make_version(number, model))
        tx.append(make_record())
    assert store.models() == ["a", "b"]
    assert [one.number for one in store.versions("b")] == [1, 2, 10]
    assert store.versions("none") == []
    assert store.version("b", 3) is None
    assert store.version("none", 1) is None


def test_an_alias_names_what_its_last_change_says(store: Store) -> None:
    fill(store)
    with store.write() as tx:
        tx.add_version(make_version(1, "other"))
        for change in (
            make_change(1, "blue"),
            make_change(2, "green"),
            make_change(2),
            make_change(None, "blue"),
            make_change(1, "green"),
            make_change(1, "champion", "other"),
        ):
            tx.add_alias_change(change)
        tx.append(make_record())
    assert store.aliases("m") == {"champion": 2, "green": 1}
    assert store.aliases("other") == {"champion": 1}
    assert store.aliases("none") == {}
    assert [one.version for one in store.alias_changes("m")] == [1, 1, 2, 2, None, 1]


@pytest.mark.parametrize(
    "contradiction",
    [
        lambda tx: tx.add_version(make_version(1)),
        lambda tx: tx.add_alias_change(make_change(9)),
        lambda tx: tx.add_alias_change(make_change(1, model="gone")),
        lambda tx: tx.add_key(make_key()),
    ],
    ids=["same version", "unknown version", "unknown model", "same key"],
)
def test_what_contradicts_the_store_is_a_conflict(
    store: Store, contradiction: Callable[[Transaction], None]
) -> None:
    fill(store)
    before = everything(store)
    with pytest.raises(Conflict), store.write() as tx:
        tx.append(make_record())
        contradiction(tx)
    assert everything(store) == before


def test_a_worker_is_known_by_what_it_said_last(store: Store) -> None:
    for generation in (1, 2):
        for worker in ("b", "a"):
            store.report_worker(
                WorkerStatus(worker=worker, pid=7, generation=generation, failures={"m/2": "bad"})
            )
    expected = [
        WorkerStatus(worker=worker, pid=7, generation=2, failures={"m/2": "bad"})
        for worker in ("a", "b")
    ]
    assert store.workers() == expected
    store.clear_workers()
    assert store.workers() == []


def test_a_closed_store_is_unavailable(place: Place) -> None:
    store = place.open()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.generation()
    with pytest.raises(StoreUnavailable), store.write():
        pass
