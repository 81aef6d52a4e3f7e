"""What every store promises, whatever database it stands on."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from registry.audit.query import accepts
from registry.entry import Entry, Payload, decode_record, encode_record, new_record_id
from registry.errors import Conflict, InvalidRequest, StoreUnavailable
from registry.events import Delivery, DeliveryState, Destination, Event, EventType, Form, Rollback
from registry.reader import Reader
from registry.records import (
    AuditRecord,
    Kind,
    Lane,
    Origin,
    Outcome,
    RecordFilter,
    SignedCheckpoint,
)
from registry.rollouts import Guard, GuardKind, Phase, Plan, Rollout, RolloutChange, Step
from registry.store import Store, Transaction
from registry.times import from_us, to_us
from registry.tlog.tiles import Frontier, TileNodes
from registry.tlog.tree import leaf_hash, root_hash
from registry.versions import AliasCause, AliasChange, Version, VersionState
from registry.workers import Key, Setting, SettingName, WorkerStatus
from tests.contracts.place import Place

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAYLOAD = Payload(b"s" * 32, b"\x00input", b"")


def make_record(second: float = 0, **fields: Any) -> AuditRecord:
    time_ns = to_us(START + timedelta(seconds=second)) * 1000
    defaults = {"kind": Kind.INFERENCE, "outcome": Outcome.ANSWERED}
    return AuditRecord(id=new_record_id(time_ns), time=str(time_ns), **(defaults | fields))


def make_version(number: int = 1, model: str = "m") -> Version:
    return Version(
        model=model,
        number=number,
        artifact="sha256:a",
        manifest="sha256:b",
        state=VersionState.PUBLISHED,
        author="key:1",
        created=START + timedelta(microseconds=number),
    )


def make_change(version: int | None, alias: str = "champion", model: str = "m") -> AliasChange:
    return AliasChange(
        model=model,
        alias=alias,
        version=version,
        cause=AliasCause.PROMOTE,
        at=START,
        principal="key:1",
        reason="because",
        record_id="r",
    )


def make_key(name: str = "k", **fields: Any) -> Key:
    defaults: dict[str, Any] = {
        "roles": ("admin", "viewer"), "author": "a", "created": START, "expires": None,
        "revoked": None,
    }  # fmt: skip
    return Key(id=f"key-{name}", name=name, digest=name.encode(), **(defaults | fields))


def make_entries(*seconds: float) -> list[Entry]:
    return [Entry(encode_record(make_record(second)), None) for second in seconds]


def make_checkpoint(view: Reader, minutes: float = 0) -> SignedCheckpoint:
    size = view.tree_size()
    return SignedCheckpoint(
        size=size,
        root=root_hash(size, TileNodes(view.tile)),
        note=f"note of {size}",
        signed=START + timedelta(minutes=minutes),
    )


def make_destination(name: str = "d", **fields: Any) -> Destination:
    defaults: dict[str, Any] = {
        "url": "https://r.example/é", "form": Form.STANDARD, "secret": "s", "author": "a",
        "models": ("m", "n"), "types": (EventType.CHAMPION_MOVED,), "created": START,
    }  # fmt: skip
    return Destination(name=name, **(defaults | fields))


def make_event(second: float = 0, **fields: Any) -> Event:
    at = START + timedelta(seconds=second)
    rollback = Rollback(method="POST", path="/p", body={"a": [1, None]}, command="c 'd'")
    defaults: dict[str, Any] = {
        "type": EventType.CHAMPION_MOVED, "model": "m", "version": 2, "time": at,
        "summary": "Something.", "data": {"x": [1.5, "é", None]}, "record_id": "r",
        "rollback": rollback,
    }  # fmt: skip
    return Event(id=new_record_id(to_us(at) * 1000), **(defaults | fields))


def make_setting(model: str | None = "m", value: str = "true") -> Setting:
    return Setting(name=SettingName.UNLOADED, model=model, value=value)


def make_rollout(rollout_id: str = "one", *, challenger: int = 2, **fields: Any) -> Rollout:
    plan = Plan(
        challenger=challenger,
        guards=(Guard(kind=GuardKind.SCORE, margin=0.1, output="é", column=1),),
        shadow=Step(points=10_000),
        steps=(Step(points=100, min_requests=7, min_s=0.5),),
    )
    defaults: dict[str, Any] = {
        "model": "m", "champion": 1, "plan": plan, "phase": Phase.SHADOW, "stage": 0,
        "salt": "s", "base": 0, "edges_us": (0,), "author": "a", "reason": "because",
        "started": START, "entered": START,
    }  # fmt: skip
    return Rollout(id=rollout_id, **(defaults | fields))


def make_rollout_change(rollout_id: str = "one", **fields: Any) -> RolloutChange:
    defaults: dict[str, Any] = {
        "phase": Phase.SHADOW, "stage": 0, "action": "start", "at": START, "principal": "a",
        "reason": "because", "record_id": "r",
    }  # fmt: skip
    return RolloutChange(rollout=rollout_id, **(defaults | fields))


def everything(store: Store) -> list[Any]:
    with store.snapshot() as view:
        models = view.models()
        return [
            view.generation(),
            models,
            [view.versions(model) for model in models],
            [view.alias_changes(model) for model in models],
            view.api_keys(),
            view.settings(),
            view.records(RecordFilter(), before=None, limit=10_000),
            view.positions(),
            view.workers(),
            view.destinations(),
            view.deliveries(None, before=None, limit=10_000),
            [(one, view.rollout_changes(one.id)) for one in view.rollouts()],
        ]


def fill(store: Store) -> None:
    with store.write() as tx:
        tx.add_version(make_version(1))
        tx.add_version(make_version(2))
        tx.add_alias_change(make_change(1))
        tx.add_key(make_key())
        tx.put_setting(make_setting())
        tx.add_destination(make_destination())
        tx.add_event(make_event(), ["d"])
        tx.add_rollout(make_rollout(), make_rollout_change())
        tx.append(make_record(kind=Kind.ADMIN))


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


def test_a_record_is_stored_once(store: Store) -> None:
    record = make_record()
    with store.write() as tx:
        tx.append(record)
    with pytest.raises(Conflict), store.write() as tx:
        tx.append(record)
    with pytest.raises(Conflict):
        store.integrate("one", 0, 9, [*make_entries(1), Entry(encode_record(record), None)])
    assert store.record(record.id) == (0, encode_record(record))
    assert store.positions() == {}
    assert len(store.records(RecordFilter(), before=None, limit=9)) == 1


def test_values_beyond_the_database_are_refused_by_name(store: Store) -> None:
    fill(store)
    for ask in (
        lambda: store.version("m", 2**63),
        lambda: store.versions("\udcff"),
    ):
        with pytest.raises(InvalidRequest):
            ask()


def test_a_text_that_is_no_id_finds_no_record(store: Store) -> None:
    fill(store)
    for text in ("", "none", "' OR 1", "\udcff", "0" * 5000):
        assert store.record(text) is None
        assert store.payload(text) is None
        with pytest.raises(InvalidRequest):
            store.records(RecordFilter(), before=text, limit=1)


def test_records_come_newest_first_up_to_the_limit(store: Store) -> None:
    seconds = list(range(20))
    random.Random(3).shuffle(seconds)
    store.integrate("one", 0, 9, make_entries(*seconds))
    found = store.records(RecordFilter(), before=None, limit=7)
    times = [from_us(int(decode_record(leaf).time) // 1000) for _, leaf in found]
    assert times == [START + timedelta(seconds=second) for second in range(19, 12, -1)]


def test_following_the_last_id_meets_every_record_once(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*(number / 3 for number in range(50))))
    met: list[str] = []
    before = None
    while page := store.records(RecordFilter(), before=before, limit=7):
        met += [decode_record(leaf).id for _, leaf in page]
        before = met[-1]
    assert len(met) == 50
    assert met == sorted(set(met), reverse=True)


def make_varied(rng: random.Random) -> AuditRecord:
    return make_record(
        rng.randrange(0, 100) / 10,
        kind=rng.choice(list(Kind)),
        outcome=rng.choice(list(Outcome)),
        model=rng.choice(["m", "n", None]),
        version=rng.choice([1, 2, None]),
        lane=rng.choice([*Lane, None]),
        principal=rng.choice(["key:a", "key:b", None]),
        request_id=rng.choice(["x", "'; DROP TABLE record", None]),
    )


FILTERS: dict[str, list[Any]] = {
    "model": ["m", "none"],
    "version": [1, 2],
    "lane": list(Lane),
    "kind": list(Kind),
    "principal": ["key:a"],
    "outcome": list(Outcome),
    "request_id": ["x", "'; DROP TABLE record"],
    "since": [START + timedelta(seconds=second) for second in (0, 3.3, 100)],
    "until": [START + timedelta(seconds=second) for second in (0, 3.3, 100)],
}


def test_every_filter_and_pair_of_filters_finds_what_it_describes(store: Store) -> None:
    rng = random.Random(5)
    records = [make_varied(rng) for _ in range(300)]
    store.integrate("one", 0, 9, [Entry(encode_record(record), None) for record in records])
    choices = [(name, value) for name, values in FILTERS.items() for value in values]
    for first in choices:
        for second in choices:
            wanted = RecordFilter(**dict((first, second)))
            expected = {record.id for record in records if accepts(wanted, record)}
            found = [decode_record(leaf).id
                     for _, leaf in store.records(wanted, before=None, limit=1000)]  # fmt: skip
            assert set(found) == expected, wanted
            assert found == sorted(found, reverse=True)


def test_a_time_filter_parts_the_records_of_one_millisecond(store: Store) -> None:
    offsets = (0.0, 0.0004, 0.0005, 0.0009)
    store.integrate("one", 0, 9, make_entries(*offsets))
    bound = START + timedelta(microseconds=500)
    early = store.records(RecordFilter(until=bound), before=None, limit=9)
    late = store.records(RecordFilter(since=bound), before=None, limit=9)
    assert sorted(index for index, _ in early) == [0, 1]
    assert sorted(index for index, _ in late) == [2, 3]


def test_times_at_the_ends_of_the_calendar_are_answered(store: Store) -> None:
    fill(store)
    wide = RecordFilter(
        since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC)
    )
    assert len(store.records(wide, before=None, limit=9)) == 1


def test_a_segment_is_integrated_exactly_once(store: Store) -> None:
    first, second = make_entries(1, 2), make_entries(3)
    store.integrate("one", 0, 100, first)
    before = everything(store)
    for start in (0, 99, 101):
        with pytest.raises(Conflict):
            store.integrate("one", start, 150, second)
    assert everything(store) == before
    store.integrate("one", 100, 150, second)
    assert store.positions() == {"one": 150}
    indexes = [index for index, _ in store.records(RecordFilter(), before=None, limit=9)]
    assert sorted(indexes) == [0, 1, 2]


def test_the_tree_grows_with_the_records_whichever_way_they_come(store: Store) -> None:
    first = make_entries(*range(300))
    store.integrate("one", 0, 9, first)
    with store.write() as tx:
        tx.append(make_record(400))
        assert tx.tree_size() == 301
    store.integrate("two", 0, 9, make_entries(*range(500, 800)))

    leaves = store.leaves(0, 700)
    assert leaves[:300] == [entry.leaf for entry in first]
    assert len(leaves) == store.tree_size() == 601
    assert store.leaves(599, 700) == leaves[599:]
    frontier, tiles = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    for tile in tiles:
        assert store.tile(tile.level, tile.number) == tile.hashes
    assert store.tile(0, 2) == frontier.tile(0, 2)
    assert store.tile(1, 0) == frontier.tile(1, 0)
    assert store.tile(0, 3) == store.tile(2, 0) == b""


def test_a_record_that_is_undone_leaves_the_tree_as_it_was(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*range(255)))
    before = store.tree_size(), store.tile(0, 0)
    with suppress(ZeroDivisionError), store.write() as tx:
        tx.append(make_record(300))
        assert tx.tree_size() == 256
        raise ZeroDivisionError
    with suppress(Conflict):
        store.integrate("one", 0, 9, make_entries(400, 401))
    assert (store.tree_size(), store.tile(0, 0)) == before


def test_only_a_checkpoint_of_the_tree_is_kept(store: Store) -> None:
    store.integrate("one", 0, 9, make_entries(*range(10)))
    assert store.checkpoint() is None
    with store.write() as tx:
        tx.add_checkpoint(make_checkpoint(tx))
    kept = store.checkpoint()
    assert kept is not None
    assert kept.size == 10

    store.integrate("two", 0, 9, make_entries(20))
    with store.write() as tx:
        of_tree = make_checkpoint(tx)
    for false in ({"size": 10}, {"size": 12}, {"root": bytes(32)}):
        with pytest.raises(Conflict), store.write() as tx:
            tx.add_checkpoint(msgspec.structs.replace(of_tree, **false))
    assert store.checkpoint() == kept
    with store.write() as tx:
        tx.add_checkpoint(of_tree)
        tx.amend_checkpoint(11, "another note")
    assert store.checkpoint() == msgspec.structs.replace(of_tree, note="another note")


def test_of_old_checkpoints_the_last_of_each_hour_and_the_first_of_each_key_stay(
    store: Store,
) -> None:
    for number in range(50):
        store.integrate(f"{number}", 0, 9, make_entries(number))
        with store.write() as tx:
            if number == 5:
                tx.add_origin(Origin(name="log", vkey="key", since=3, at=START))
            tx.add_checkpoint(make_checkpoint(tx, minutes=10 * number))
    kept = [signed.size for signed in store.checkpoints()]
    # One of each hour, the one behind leaf 3, and all of the last hour.
    assert kept == [4, 6, 12, 18, 24, 30, 36, 42, 43, 44, 45, 46, 47, 48, 49, 50]


def test_the_log_has_the_names_and_keys_that_were_added(store: Store) -> None:
    assert store.origins() == []
    added = [Origin(name="log", vkey=f"key {n}", since=n, at=START) for n in range(3)]
    with store.write() as tx:
        for origin in added:
            tx.add_origin(origin)
    assert store.origins() == added


def test_a_segment_never_seen_begins_at_zero(store: Store) -> None:
    with pytest.raises(Conflict):
        store.integrate("one", 5, 10, make_entries(1))
    assert store.positions() == {}


def test_a_forgotten_segment_leaves_its_records(store: Store) -> None:
    store.integrate("one", 0, 100, make_entries(1))
    store.integrate("two", 0, 50, make_entries(2))
    store.forget_segment("one")
    store.forget_segment("never seen")
    assert store.positions() == {"two": 50}
    assert len(store.records(RecordFilter(), before=None, limit=9)) == 2


def test_a_payload_stands_beside_its_record_alone(store: Store) -> None:
    first, second = make_record(1), make_record(2)
    store.integrate(
        "one", 0, 9, [Entry(encode_record(first), None), Entry(encode_record(second), PAYLOAD)]
    )
    assert store.payload(first.id) is None
    assert store.payload(second.id) == PAYLOAD


def test_the_leaf_is_kept_byte_for_byte(store: Store) -> None:
    record = make_record()
    leaf = encode_record(record).replace(b",", b" , ")
    store.integrate("one", 0, 9, [Entry(leaf, None)])
    assert store.record(record.id) == (0, leaf)


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


def add_events(store: Store, *seconds: float, told: tuple[str, ...] = ("d",)) -> list[Delivery]:
    """Add an event for each moment, and return the deliveries of them, oldest first."""
    with store.write() as tx:
        for name in set(told) - {one.name for one in tx.destinations()}:
            tx.add_destination(make_destination(name))
        for second in seconds:
            tx.add_event(make_event(second), told)
        tx.append(make_record())
    return store.deliveries(None, before=None, limit=100)[::-1]


def test_an_event_is_on_its_way_to_each_of_its_destinations(store: Store) -> None:
    event = make_event(3)
    with store.write() as tx:
        for name in ("a", "b", "c"):
            tx.add_destination(make_destination(name))
        tx.add_event(event, ["a", "c"])
        tx.append(make_record())

    first, second = store.deliveries(None, before=None, limit=9)[::-1]

    assert (first.destination, second.destination) == ("a", "c")
    assert first.event == second.event == event
    assert first.number < second.number
    for one in (first, second):
        assert (one.state, one.attempts, one.due) == (DeliveryState.PENDING, 0, event.time)
        assert one.attempted is one.status is one.error is None
        assert store.delivery(one.number) == one
    assert store.delivery(99) is None
    assert store.destinations() == [make_destination(name) for name in ("a", "b", "c")]


def test_the_oldest_delivery_that_is_due_is_next(store: Store) -> None:
    first, second, _ = add_events(store, 1, 2, 1)
    at = START + timedelta(seconds=1)
    assert store.next_delivery("d", START) is None
    assert store.waiting_destinations(START) == []
    assert store.next_delivery("d", at) == first
    assert store.waiting_destinations(at) == ["d"]

    store.settle(replace(first, due=START + timedelta(seconds=9), attempts=1))
    assert store.next_delivery("d", START + timedelta(seconds=2)) == second
    assert store.next_delivery("other", at) is None


def test_a_paused_destination_waits_until_it_is_resumed(store: Store) -> None:
    first, second = add_events(store, 1, 50)
    later = START + timedelta(seconds=5)
    with store.write() as tx:
        tx.pause_destination("d", START)
        tx.append(make_record())
    assert [one.paused for one in store.destinations()] == [START]
    assert store.next_delivery("d", START + timedelta(days=1)) is None
    assert store.waiting_destinations(START + timedelta(days=1)) == []

    with store.write() as tx:
        tx.resume_destination("d", later)
        tx.append(make_record())
    assert store.next_delivery("d", later) == first
    store.settle(replace(first, state=DeliveryState.DELIVERED, attempted=later))
    assert store.next_delivery("d", later) == replace(second, due=later)


def test_what_became_of_an_attempt_is_kept(store: Store) -> None:
    [one] = add_events(store, 1)
    tried = replace(
        one,
        attempts=3,
        due=START + timedelta(seconds=9),
        attempted=START + timedelta(seconds=2),
        status=503,
        error="it answered 503",
    )
    store.settle(tried)
    assert store.delivery(one.number) == tried
    with store.write() as tx:
        tx.remove_destination("d")
        tx.append(make_record())
    store.settle(tried)
    assert store.delivery(one.number) is None


def test_only_what_was_not_refused_is_hastened(store: Store) -> None:
    statuses = (None, 429, 500, 400, 302)
    later, at = START + timedelta(days=1), START + timedelta(hours=1)
    added = add_events(store, *range(5))
    for one, status in zip(added, statuses, strict=True):
        store.settle(replace(one, due=later, attempts=1, status=status))
    add_events(store, 6, told=("other",))

    store.hasten("d", at)

    due = [one.due for one in store.deliveries(None, before=None, limit=9)[::-1]]
    assert due == [at, at, at, later, later, START + timedelta(seconds=6)]


def test_deliveries_are_counted_and_listed_by_state(store: Store) -> None:
    added = add_events(store, *range(5))
    add_events(store, 9, told=("other",))
    for one in added[:2]:
        store.settle(replace(one, state=DeliveryState.DEAD))
    store.settle(replace(added[2], state=DeliveryState.DELIVERED))

    assert {(one.destination, one.state): one.count for one in store.delivery_counts()} == {
        ("d", "dead"): 2, ("d", "delivered"): 1, ("d", "pending"): 2, ("other", "pending"): 1,
    }  # fmt: skip
    numbers = [one.number for one in added]
    assert [
        one.number for one in store.deliveries(DeliveryState.DEAD, before=None, limit=9)
    ] == numbers[1::-1]
    assert [one.number for one in store.deliveries(None, before=numbers[3], limit=2)] == [
        numbers[2],
        numbers[1],
    ]


def test_no_number_of_a_delivery_is_used_again(store: Store) -> None:
    [one] = add_events(store, 1)
    with store.write() as tx:
        tx.remove_destination("d")
        tx.append(make_record())
    [other] = add_events(store, 2)
    assert other.number > one.number


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


def test_a_closed_store_is_unavailable(place: Place) -> None:
    store = place.open()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.generation()
    with pytest.raises(StoreUnavailable), store.write():
        pass
