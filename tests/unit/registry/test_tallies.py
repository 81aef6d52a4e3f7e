"""Tallies equal what a recount of all leaves gives, whichever way the records came."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from registry.audit.summary import count_rules
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from tests.builders import linear_model, publish

START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
EVER = (datetime(1970, 1, 1, tzinfo=UTC), LATER)
WOULD = " (would reject)"
LABELS = (
    "range x[1] (would reject)",
    "missing y (would reject)",
    "range odd [name][4] (would reject)",
    "range x[1]",
    "range x[2,3]",
    "range x",
    "missing y[0]",
    "range odd [name][4]",
)


def make_records(seed: int, count: int) -> list[AuditRecord]:
    rng = random.Random(seed)
    return [make_record(rng) for _ in range(count)]


def make_record(rng: random.Random) -> AuditRecord:
    moment = START + timedelta(seconds=rng.randrange(4 * 3600))
    time_ns = int(moment.timestamp()) * 1_000_000_000

    def some() -> tuple[str, ...]:
        return tuple(rng.choices(LABELS, k=rng.choice((0, 0, 1, 5))))

    return AuditRecord(
        id=new_record_id(time_ns),
        time=str(time_ns),
        kind=Kind.INFERENCE,
        outcome=rng.choice(list(Outcome)),
        model=rng.choice((None, "flights", "linear")),
        version=rng.choice((None, 1, 2)),
        lane=rng.choice((None, *Lane)),
        principal=rng.choice(("a", "b")),
        error=rng.choice((None, "range", "not-loaded")),
        violations=some(),
        flags=some(),
        observed=some(),
        repaired=some(),
    )


def without_place(label: str) -> str:
    rule = label.removesuffix(WOULD)
    placeless = rule[: rule.rindex("[")] if rule.endswith("]") else rule
    return placeless + label[len(rule) :]


def recount(registry: Registry, hours: int, model: str | None = None) -> Counter[object]:
    """Count what the leaves say, with nothing of the code that keeps the tallies."""
    counts: Counter[object] = Counter()
    leaves = registry.store.records(RecordFilter(), before=None, limit=100_000)
    for record in (decode_record(leaf) for _, leaf in leaves):
        if model not in (None, record.model):
            continue
        moment = datetime.fromtimestamp(int(record.time) // 1_000_000_000, UTC)
        start = moment.replace(minute=0, second=0, hour=moment.hour if hours == 1 else 0)
        alike = (start, record.kind, record.outcome, record.model, record.version, record.lane)
        counts[*alike, "record", ""] += 1
        if record.error:
            counts[*alike, "error", record.error] += 1
        for aspect, labels in (
            ("violation", record.violations),
            ("flag", record.flags),
            ("observed", record.observed),
            ("repaired", record.repaired),
        ):
            for rule in set(map(without_place, labels)):
                counts[*alike, aspect, rule] += 1
    return counts


def kept(registry: Registry, hours: int, model: str | None = None) -> dict[object, int]:
    since, until = EVER
    found = registry.store.tallies(since=since, until=until, hours=hours, model=model)
    return {
        (one.start, one.kind, one.outcome, one.model, one.version, one.lane, one.aspect, one.name):
        one.count for one in found
    }  # fmt: skip


@pytest.mark.parametrize("hours", [1, 24])
def test_the_tallies_are_those_of_a_recount(registry: Registry, hours: int) -> None:
    publish(registry, "linear", linear_model())
    for number in range(3):
        entries = [Entry(encode_record(one), None) for one in make_records(number, 400)]
        registry.store.integrate(f"{number}.segment", 0, 1, entries)
        publish(registry, "linear", linear_model(number + 2.0))

    assert kept(registry, hours) == recount(registry, hours)
    assert kept(registry, hours, "linear") == recount(registry, hours, "linear")
    assert sum(kept(registry, hours, "linear").values()) > 100


def test_rules_are_counted_for_a_version_by_what_was_done(registry: Registry) -> None:
    version = publish(registry, "linear", linear_model())
    [one] = make_records(3, 1)
    time = str(int(LATER.timestamp()) * 1_000_000_000 - 1_000_000_000)
    record = msgspec.structs.replace(
        one,
        time=time,
        model="linear",
        version=1,
        violations=("range x[1]", "range x[2]", "dtype-mismatch x[1]"),
        flags=("range x[0] (would reject)",),
        observed=("joint *[4]",),
        repaired=("missing x[3]",),
    )
    others = [msgspec.structs.replace(record, id=new_record_id(n), version=2) for n in range(2)]
    entries = [Entry(encode_record(each), None) for each in (record, *others)]
    registry.store.integrate("one.segment", 0, 1, entries)

    found = {
        line.rule: (line.refused, line.flagged, line.repaired, line.observed)
        for line in count_rules(registry.store, version, LATER)
    }

    assert found == {
        "range x": (1, 0, 0, 0),
        "range x (would reject)": (0, 1, 0, 0),
        "joint *": (0, 0, 0, 1),
        "missing x": (0, 0, 1, 0),
    }


def test_what_was_not_committed_is_not_counted(registry: Registry) -> None:
    before = kept(registry, 1)
    [record] = make_records(7, 1)
    with pytest.raises(ZeroDivisionError), registry.store.write() as tx:
        tx.append(record)
        raise ZeroDivisionError

    assert kept(registry, 1) == before


def test_a_period_is_counted_whole_where_a_bound_lies_in_it(registry: Registry) -> None:
    entries = [Entry(encode_record(one), None) for one in make_records(1, 300)]
    registry.store.integrate("one.segment", 0, 1, entries)
    everything = kept(registry, 24)
    days = sorted({key[0] for key in everything})  # type: ignore[index]
    assert len(days) == 2

    inside = timedelta(hours=5)
    for day in days:
        found = registry.store.tallies(since=day + inside, until=day + inside, hours=24, model=None)
        assert {one.start for one in found} == {day}
        assert sum(one.count for one in found) == sum(
            count
            for key, count in everything.items()
            if key[0] == day  # type: ignore[index]
        )
    at_midnight = registry.store.tallies(since=days[0], until=days[1], hours=24, model=None)
    assert {one.start for one in at_midnight} == {days[0]}
