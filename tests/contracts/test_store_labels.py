"""What every store promises of ground truth."""

from datetime import datetime, timedelta

import pytest

from registry.entry import Entry, Payload, encode_record, new_record_id
from registry.errors import InvalidRequest
from registry.labels import AnswerCount, Batch, Label
from registry.records import AuditRecord, Kind, Outcome
from registry.store import Store
from registry.times import from_us, to_us
from tests.contracts.stored import START, make_record

HOUR = timedelta(hours=1)
BEGINNING, END = from_us(0), from_us(2**52)


def answered(store: Store, second: float = 0, **fields: object) -> str:
    """Integrate an answer of `m` with its payload, and return its id."""
    defaults = {"model": "m", "version": 1, "lane": "champion", "rows": 3}
    record = make_record(second, **(defaults | fields))
    payload = Payload(b"s" * 32, b"in", b"out")
    store.integrate(record.id, 0, 1, [Entry(encode_record(record), payload)])
    return record.id


def tell(
    store: Store, *labels: Label, at: datetime = START + HOUR, model: str = "m", **counts: int
) -> Batch:
    """Keep labels as a batch of their own."""
    record = AuditRecord(
        id=new_record_id(to_us(at) * 1000), kind=Kind.FEEDBACK, time=str(to_us(at) * 1000),
        outcome=Outcome.DONE,
    )  # fmt: skip
    batch = Batch(id=record.id, model=model, at=at, salt=b"t" * 32, new=len(labels), **counts)
    with store.write() as tx:
        tx.append(record)
        tx.add_labels(batch, labels)
    return batch


def label(record_id: str, value: str | int | float = 1, row: int = 0, **slices: str) -> Label:
    return Label(record_id=record_id, row=row, value=value, slices=slices)


def now_kept(store: Store, model: str = "m") -> list[Label]:
    found = store.labels(model, since=BEGINNING, until=END, limit=100)
    return [one.label for one in found]


def test_the_last_label_of_a_row_counts_and_the_others_stay(store: Store) -> None:
    record_id = answered(store)
    first = tell(store, label(record_id, 0), label(record_id, "b", row=1))
    second = tell(store, label(record_id, 1, site="A"), at=START + 2 * HOUR)

    assert now_kept(store) == [label(record_id, 1, site="A"), label(record_id, "b", row=1)]
    [one, _] = store.labels("m", since=BEGINNING, until=END, limit=100)
    assert (one.at, one.first_at, one.values) == (second.at, first.at, 2)
    assert one.batch == second.id
    history = store.label_history("m", record_id)
    assert [(kept.label.row, kept.label.value, kept.values) for kept in history] == [
        (0, 0, 1), (0, 1, 2), (1, "b", 1),
    ]  # fmt: skip
    assert store.label("m", record_id, 0) == label(record_id, 1, site="A")
    assert store.label("m", record_id, 2) is None
    assert store.label("m", "no id", 0) is None


def test_values_come_back_as_they_were_given(store: Store) -> None:
    record_id = answered(store)
    values = ["", "ä", 0, 2**53, -1, 0.1, 1e300, 1.0]

    tell(store, *(label(record_id, value, row) for row, value in enumerate(values)))

    found = [one.value for one in now_kept(store)]
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]


def test_labels_are_found_by_when_their_rows_were_answered(store: Store) -> None:
    ids = [answered(store, second) for second in (0, 10, 20)]
    tell(store, *(label(one) for one in reversed(ids)))

    found = store.labels(
        "m", since=START + timedelta(seconds=10), until=START + timedelta(seconds=20), limit=9
    )

    assert [one.label.record_id for one in found] == [ids[1]]
    assert [one.record_id for one in now_kept(store)] == ids
    assert len(store.labels("m", since=BEGINNING, until=END, limit=2)) == 2
    assert now_kept(store, "other") == []


def test_batches_are_kept_with_what_became_of_them(store: Store) -> None:
    record_id = answered(store)
    batch = tell(store, label(record_id), repeated=2, corrected=1)

    assert store.label_batches("m", since=START, until=END) == [batch]
    assert store.label_batches("m", since=batch.at + HOUR, until=END) == []
    assert store.label_batches("other", since=START, until=END) == []


def test_labels_without_a_record_are_refused(store: Store) -> None:
    record_id = answered(store)
    batch = Batch(id=new_record_id(1), model="m", at=START, salt=b"")

    with pytest.raises(RuntimeError, match="record"), store.write() as tx:
        tx.add_labels(batch, [label(record_id)])
    with pytest.raises(InvalidRequest), store.write() as tx:
        tx.add_labels(batch, [label("no id")])

    assert now_kept(store) == []


def test_labels_change_nothing_that_workers_obey(store: Store) -> None:
    record_id = answered(store)
    before = store.generation()
    tell(store, label(record_id))

    assert store.generation() == before


def test_labels_go_with_the_payload_and_leave_nothing_that_a_guess_could_be_tested_by(
    store: Store,
) -> None:
    gone, stays = answered(store), answered(store, 1)
    tell(store, label(gone, "secret"))
    kept = tell(store, label(stays))
    found = store.record(gone)
    assert found is not None
    with store.write() as tx:
        tx.append(make_record(kind=Kind.REMOVAL, outcome=Outcome.DONE))
        tx.expire([found[0]])

    answer = store.answer(gone)
    assert answer is not None
    assert (answer.is_expired, answer.is_erased) == (True, False)
    assert now_kept(store) == [label(stays)]
    assert store.label("m", gone, 0) is None
    assert store.label_history("m", gone) == []
    salts = [one.salt for one in store.label_batches("m", since=BEGINNING, until=END)]
    assert salts == [bytes(32), kept.salt]


def test_labels_go_with_the_record(store: Store) -> None:
    gone = answered(store)
    tell(store, label(gone))
    found = store.record(gone)
    assert found is not None
    with store.write() as tx:
        tx.append(make_record(kind=Kind.REMOVAL, outcome=Outcome.DONE))
        tx.remove([found[0]])

    assert store.answer(gone) is None
    assert now_kept(store) == []


def test_labels_go_with_their_person(store: Store) -> None:
    record = make_record(model="m", version=1, lane="champion", rows=1)
    payload = Payload(b"s" * 32, b"in", b"out", "Ann")
    store.integrate("one", 0, 1, [Entry(encode_record(record), payload)])
    other = answered(store, 1)
    tell(store, label(record.id, "ill", ward="3"), label(other, "well"))
    with store.write() as tx:
        found = tx.find_subject("Ann")
        assert found is not None
        tx.append(make_record(kind=Kind.ERASURE, outcome=Outcome.DONE))
        tx.erase(found)

    answer = store.answer(record.id)
    assert answer is not None
    assert (answer.is_expired, answer.is_erased) == (False, True)
    assert now_kept(store) == [label(other, "well")]


def test_answers_are_counted_by_version_and_lane(store: Store) -> None:
    for second in (0, 1, 2):
        answered(store, second)
    answered(store, 1, version=2, lane="canary")
    answered(store, 1, outcome=Outcome.REFUSED)
    answered(store, 1, model="other")

    def count(since: float, until: float) -> set[AnswerCount]:
        first, last = (START + timedelta(seconds=second) for second in (since, until))
        return set(store.answer_counts("m", since=first, until=last))

    assert count(0, 9) == {AnswerCount(1, "champion", 3), AnswerCount(2, "canary", 1)}
    assert count(1, 2) == {AnswerCount(1, "champion", 1), AnswerCount(2, "canary", 1)}
    assert count(5, 9) == set()
