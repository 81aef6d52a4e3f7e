"""Nothing goes before its time or under hold, all that is due goes, and the log verifies."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from registry import privacy
from registry.entry import (
    Entry,
    Payload,
    commit,
    decode_record,
    encode_record,
    new_record_id,
    new_salt,
)
from registry.errors import PayloadExpired
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.registry import Registry
from registry.removal import Remover
from registry.retention import PRESETS, Retention
from registry.times import to_us
from tests.builders import AUTHOR, linear_model, open_registry, publish
from tests.privacy.tree import root_of, stored_root

START = datetime(2027, 1, 1, tzinfo=UTC)
MODELS = ("a", "b")
TILE = 256
BATCH = 60


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Age:
    """A gateway over the years: what was recorded when, and what was asked to be kept."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.registry = open_registry(folder)
        for model in MODELS:
            publish(self.registry, model, linear_model())
        self.clock = Clock()
        self.remover = Remover(self.registry.store, self.clock)
        self.rng = random.Random(seed)
        self.written: list[tuple[str, str, datetime]] = []  # id, model, time
        self.leaves = self._leaves()
        self.segments = 0

    def _leaves(self) -> list[bytes]:
        store = self.registry.store
        return store.leaves(0, store.tree_size())

    def record_hourly(self, hours: int) -> None:
        for _ in range(hours):
            self.record(50)
            self.clock.now += timedelta(hours=1)

    def record(self, count: int) -> None:
        entries: list[Entry] = []
        for _ in range(count):
            at = self.clock.now - timedelta(seconds=self.rng.randrange(3600))
            model, salt = self.rng.choice(MODELS), new_salt()
            subject = self.rng.choice([None, "Ann", "Ben"])
            time_ns = to_us(at) * 1000
            record = AuditRecord(
                id=new_record_id(time_ns), kind=Kind.INFERENCE, time=str(time_ns),
                outcome=self.rng.choice([Outcome.ANSWERED, Outcome.REFUSED]), model=model,
                version=1, principal=self.rng.choice(["key-1", "key-2"]),
                input=commit(salt, b"in"),
            )  # fmt: skip
            entries.append(Entry(encode_record(record), Payload(salt, b"in", b"", subject)))
            self.written.append((record.id, model, at))
        self.segments += 1
        self.registry.store.integrate(f"{self.segments}", 0, 1, entries)

    def remove_all(self) -> None:
        while self.remover.remove_piece():
            pass

    def check(self, kept: dict[str, Retention], held: frozenset[str], size: int) -> None:
        """Hold what is there, and what is not, to what was asked for at a size of the log."""
        store = self.registry.store
        full = size // TILE * TILE - BATCH  # where one of a batch stays, those behind it wait
        for record_id, model, at in self.written:
            retention = kept.get(model, Retention())
            age = self.clock.now - at
            found = store.record(record_id)
            is_payload_young = _is_young(retention.payload_days, age) or model in held
            is_record_young = _is_young(retention.record_days, age) or model in held
            if found is None:
                assert not is_record_young, "a record went before its time"
                continue
            assert is_record_young or found[0] >= full, "a record stayed"
            try:
                assert store.payload(record_id) is not None
            except PayloadExpired:
                assert not is_payload_young, "a payload went before its time"
            else:
                assert is_payload_young, "a payload stayed"


def _is_young(days: int | None, age: timedelta) -> bool:
    # Of the millisecond in which it is due, a record may stay.
    return days is None or age <= timedelta(days=days, milliseconds=1)


RETENTIONS = st.sampled_from([*PRESETS.values(), Retention()]) | st.builds(
    lambda payload, more: Retention(payload_days=payload, record_days=payload + more),
    st.integers(1, 900),
    st.integers(0, 900),
)


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(
    seed=st.integers(0, 2**32),
    retentions=st.fixed_dictionaries({model: RETENTIONS for model in MODELS}),
    held=st.sets(st.sampled_from(MODELS), max_size=1).map(frozenset),
    steps=st.lists(st.integers(1, 500), min_size=8, max_size=12),
)
def test_over_seven_years_nothing_goes_before_its_time_and_all_that_is_due_goes(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    retentions: dict[str, Retention],
    held: frozenset[str],
    steps: list[int],
) -> None:
    age = Age(tmp_path_factory.mktemp("age"), seed)
    store = age.registry.store
    for model, retention in retentions.items():
        privacy.set_retention(age.registry, model, retention, AUTHOR)
    for model in held:
        privacy.set_hold(age.registry, model, "a suit", AUTHOR)
    for days in (*steps, max(1, 7 * 366 - sum(steps))):
        age.record(BATCH)
        size = store.tree_size()
        root = stored_root(store, size)
        age.clock.now += timedelta(days=days)
        age.remove_all()
        age.check(retentions, held, size)
        assert stored_root(store, size) == root
    for model in held:
        privacy.lift_hold(age.registry, model, "settled", AUTHOR)
    age.clock.now += timedelta(minutes=1)
    size = store.tree_size()
    age.remove_all()
    age.check(retentions, frozenset(), size)
    store.close()


@pytest.fixture
def age(tmp_path: Path) -> Age:
    return Age(tmp_path, 1)


def removals(registry: Registry) -> list[AuditRecord]:
    found = registry.store.records(RecordFilter(kind=Kind.REMOVAL), before=None, limit=1000)
    return [decode_record(leaf) for _, leaf in found]


def test_a_removal_says_what_went_and_why(age: Age) -> None:
    age.record_hourly(14)
    privacy.set_retention(age.registry, "a", Retention(preset="hipaa"), AUTHOR)
    age.clock.now += timedelta(days=2193)
    age.remove_all()

    of_a = [one for one in age.written if one[1] == "a"]
    found = removals(age.registry)
    payloads = [one for one in found if one.action == "payloads.expire"]
    records = [one for one in found if one.action == "records.remove"]
    assert {(one.model, one.reason) for one in found} == {("a", "hipaa, 2192 days")}
    assert sum(one.count or 0 for one in payloads) == len(of_a)
    gone = [one for one in of_a if age.registry.store.record(one[0]) is None]
    assert sum(one.count or 0 for one in records) == len(gone) > 0
    newest = max(int(one.newest or 0) for one in records)
    assert newest == max(to_us(at) * 1000 // 1_000_000 * 1_000_000 for _, _, at in gone)
    indexes = {one.first for one in records} | {one.last for one in records}
    assert all(index is not None and 0 <= index < 768 for index in indexes)


def test_the_log_verifies_by_its_tiles_after_leaves_have_gone(age: Age) -> None:
    age.record_hourly(14)
    store = age.registry.store
    size = store.tree_size()
    root = root_of(store.leaves(0, size))
    for model in MODELS:
        privacy.set_retention(age.registry, model, Retention(preset="minimal"), AUTHOR)
    age.clock.now += timedelta(days=31)
    age.remove_all()

    assert len(store.leaves(0, size)) < size - 400
    assert stored_root(store, size) == root
    left = store.leaves(size // TILE * TILE, size)
    assert len(left) == size % TILE


def test_the_key_of_a_person_goes_with_the_last_that_is_kept_of_them(age: Age) -> None:
    age.record(50)
    privacy.set_retention(age.registry, "a", Retention(payload_days=10), AUTHOR)
    age.clock.now += timedelta(days=11)
    age.remove_all()
    with age.registry.store.write() as tx:
        found = tx.find_subject("Ann")
        assert found is not None
        assert found.models == {"b"}

    privacy.set_retention(age.registry, "b", Retention(payload_days=10), AUTHOR)
    age.remove_all()
    with age.registry.store.write() as tx:
        assert tx.find_subject("Ann") is None


def test_changes_are_remembered_for_good(age: Age) -> None:
    before = age.registry.store.records(RecordFilter(kind=Kind.ADMIN), before=None, limit=100)
    age.record_hourly(12)
    for model in MODELS:
        privacy.set_retention(age.registry, model, Retention(preset="minimal"), AUTHOR)
    age.clock.now += timedelta(days=4000)
    age.remove_all()

    after = age.registry.store.records(RecordFilter(kind=Kind.ADMIN), before=None, limit=100)
    assert set(before) <= set(after)


def test_a_hold_that_comes_between_two_pieces_holds(age: Age) -> None:
    age.record_hourly(14)
    privacy.set_retention(age.registry, "a", Retention(payload_days=1), AUTHOR)
    age.clock.now += timedelta(days=2)
    assert age.remover.remove_piece()
    gone = len(removals(age.registry))
    privacy.set_hold(age.registry, "a", "a suit", AUTHOR)
    age.remove_all()

    assert len(removals(age.registry)) == gone == 1
