from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from registry import truth
from registry.audit.query import AuditTrail
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry, commit, decode_record, encode_record
from registry.errors import InvalidRequest, ModelNotFound
from registry.labels import Label
from registry.recording import append_record
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.times import from_us, now
from registry.truth import MOST_LABELS, GivenLabel, Why, encode_labels, give_feedback
from registry.truth_policy import LabelKind, Slice, TruthPolicy, truth_policy
from registry.versions import Version
from tests.builders import AUTHOR, linear_model, publish
from tests.labelled import answer, keep, say, tell

CLASSES = TruthPolicy(kind=LabelKind.CLASSES, slices=(Slice(name="site"),))
BEGINNING, END = from_us(0), from_us(2**52)


@pytest.fixture
def version(registry: Registry) -> Version:
    """The champion of `sum`, whose one output is taken for a probability."""
    version = publish(registry, "sum", linear_model())
    truth.set_truth_policy(registry, "sum", CLASSES, AUTHOR)
    return version


def last_record(registry: Registry, kind: Kind) -> AuditRecord:
    found = registry.store.records(RecordFilter(kind=kind), before=None, limit=100)
    return decode_record(max(found)[1])  # ids of one millisecond are in no order


def labels(registry: Registry) -> list[Label]:
    found = registry.store.labels("sum", since=BEGINNING, until=END, limit=99)
    return [one.label for one in found]


def test_each_label_is_taken_or_refused_by_itself_with_its_reason(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    other = publish(registry, "other", linear_model())
    two = {"y": np.zeros((2, 1), np.float32)}
    good, foreign, refused, shadow = keep(
        registry,
        [answer(version, two, now()), answer(other, say(0.5), now()),
         answer(version, say(0.5), now(), outcome=Outcome.REFUSED),
         answer(version, say(0.5), now(), lane=Lane.SHADOW)],
    )  # fmt: skip
    admin = last_record(registry, Kind.ADMIN).id

    taken = tell(
        registry, tmp_path, "sum",
        (good, 1), (good, 1, 2), (good, 1, -1), (good, "yes"), (good, None), (foreign, 1),
        (refused, 1), (admin, 1), ("00000000-0000-7000-8000-000000000000", 1), ("what", 1),
        (good, 0, 1, {"site": "A"}), (good, 1, 1, {"colour": "red"}),
        (good, 1, 1, {"site": "x" * 201}), (good, 1, 10**30), (shadow, 1),
    )  # fmt: skip

    assert [(one.index, one.code) for one in taken.refused] == [
        (1, Why.ROW), (2, Why.ROW), (3, Why.KIND), (4, Why.KIND), (5, Why.OTHER_MODEL),
        (6, Why.NOT_ANSWERED), (7, Why.NOT_ANSWERED), (8, Why.RECORD_NOT_FOUND),
        (9, Why.RECORD_NOT_FOUND), (11, Why.SLICE), (12, Why.SLICE), (13, Why.ROW),
        (14, Why.NOT_ANSWERED),
    ]  # fmt: skip
    assert all(one.detail for one in taken.refused)
    assert (taken.new, taken.repeated, taken.corrected) == (2, 0, 0)
    assert labels(registry) == [
        Label(record_id=good, row=0, value=1),
        Label(record_id=good, row=1, value=0, slices={"site": "A"}),
    ]


def test_what_is_said_again_is_counted_and_what_is_said_otherwise_corrects(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    [one] = keep(registry, [answer(version, say(0.5), now())])
    tell(registry, tmp_path, "sum", (one, 1))

    again = tell(registry, tmp_path, "sum", (one, True), (one, 0), (one, 0), (one, 1))

    assert (again.new, again.repeated, again.corrected) == (0, 2, 2)
    history = registry.store.label_history("sum", one)
    assert [kept.label.value for kept in history] == [1, 0, 1]
    assert labels(registry) == [Label(record_id=one, row=0, value=1)]


def test_the_record_commits_to_the_labels_that_were_kept(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    one, two = keep(registry, [answer(version, say(p), now()) for p in (0.1, 0.9)])

    taken = tell(registry, tmp_path, "sum", (one, 1), ("what", 1), (two, 0))

    record = last_record(registry, Kind.FEEDBACK)
    [batch] = registry.store.label_batches("sum", since=BEGINNING, until=END)
    kept = [Label(record_id=one, row=0, value=1), Label(record_id=two, row=0, value=0)]
    assert record.id == batch.id == taken.record_id
    assert record.input == commit(batch.salt, encode_labels(kept))
    assert (record.model, record.count, record.principal) == ("sum", 2, AUTHOR.principal)
    assert record.reason == "2 new, 0 repeated, 0 corrected, 1 refused (record-not-found)"
    assert batch.refused == {"record-not-found": 1}


def test_an_answer_that_is_still_in_the_journal_can_be_labelled(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    writer = SegmentWriter(tmp_path / "journal")
    record, payload = answer(version, say(0.5), now())
    writer.append([Entry(encode_record(record), payload)])
    writer.close()

    taken = tell(registry, tmp_path, "sum", (record.id.upper(), 1), (record.id, 1))

    assert (taken.new, taken.repeated, taken.refused) == (1, 1, ())
    assert labels(registry) == [Label(record_id=record.id, row=0, value=1)]


def test_what_was_erased_or_expired_gets_no_label(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    at = now() - timedelta(days=1)
    ids = keep(registry, [answer(version, say(0.5), at, subject=s) for s in ("Ann", None)])
    tell(registry, tmp_path, "sum", *((one, 1) for one in ids))
    [(index, _)] = [found for one in ids[1:] if (found := registry.store.record(one))]
    with registry.store.write() as tx:
        subject = tx.find_subject("Ann")
        assert subject is not None
        tx.erase(subject)
        tx.expire([index])
        append_record(tx, "gone", AUTHOR, now())

    taken = tell(registry, tmp_path, "sum", *((one, 0) for one in ids))

    assert [one.code for one in taken.refused] == [Why.ERASED, Why.EXPIRED]
    assert labels(registry) == []


def test_a_batch_is_bounded_and_of_a_model_that_there_is(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    trail = AuditTrail(registry.store, tmp_path / "journal")
    for count in (0, MOST_LABELS + 1):
        with pytest.raises(InvalidRequest, match="1 to 1,000"):
            give_feedback(registry, trail, "sum", [GivenLabel("x", 1)] * count, AUTHOR)
    with pytest.raises(ModelNotFound):
        give_feedback(registry, trail, "none", [GivenLabel("x", 1)], AUTHOR)


def test_a_policy_is_set_with_its_record_and_forgotten_when_it_is_as_by_default(
    registry: Registry, version: Version
) -> None:
    assert truth_policy(registry.store, "sum") == CLASSES
    record = last_record(registry, Kind.ADMIN)
    assert record.action == "truth-policy.set"
    assert msgspec.json.decode(record.reason or "", type=TruthPolicy) == CLASSES

    truth.set_truth_policy(registry, "sum", TruthPolicy(), AUTHOR)

    assert truth_policy(registry.store, "sum") == TruthPolicy()
    assert registry.store.settings() == []
    with pytest.raises(InvalidRequest, match="no version"):
        truth.set_truth_policy(registry, "sum", TruthPolicy(output="z"), AUTHOR)
    with pytest.raises(ModelNotFound):
        truth.set_truth_policy(registry, "none", TruthPolicy(), AUTHOR)
