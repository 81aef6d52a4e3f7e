"""Ground truth taken in, and what it is held against.

Each label of a batch is taken or refused by itself: what comes from a warehouse days later always
has a few that fit nothing, and they must not hold up the others. Nothing that came is changed: the
last label of a row counts, and those before it stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from registry import service
from registry.audit.query import AuditTrail, as_written
from registry.entry import commit, decode_record, new_salt
from registry.errors import InvalidRequest, clip
from registry.labels import AnswerKept, Batch, Label
from registry.names import MAX_LABEL
from registry.recording import Author, append_record
from registry.records import AuditRecord, Kind, Lane, Outcome
from registry.registry import Registry
from registry.store import Transaction
from registry.times import now
from registry.truth_policy import (
    Target,
    TruthPolicy,
    check_truth_policy,
    target_of,
    truth_policy,
)
from registry.versions import VersionState
from registry.workers import SettingName

MOST_LABELS = 1_000  # of a batch: its transaction holds up every other writer


class Why(StrEnum):
    """Why a label is refused."""

    RECORD_NOT_FOUND = "record-not-found"
    OTHER_MODEL = "record-of-another-model"
    NOT_ANSWERED = "not-answered"
    ROW = "row-out-of-range"
    KIND = "label-not-accepted"
    SLICE = "slice-not-accepted"
    ERASED = "payload-erased"
    EXPIRED = "payload-expired"


class GivenLabel(Struct, forbid_unknown_fields=True):
    """What is said to be true of a row of an answer: a text, a number or a boolean."""

    record_id: str
    value: Any
    row: int = 0
    slices: dict[str, str] = {}


class RefusedLabel(Struct, frozen=True, kw_only=True):
    """A label that was not taken, by its place in the batch, and why."""

    index: int
    record_id: str
    row: int
    code: Why
    detail: str


class FeedbackTaken(Struct, frozen=True, kw_only=True):
    """What became of a batch: its record, and how many labels were of which sort.

    `repeated` said again what was known, `corrected` something else than before.
    """

    record_id: str
    new: int
    repeated: int
    corrected: int
    refused: tuple[RefusedLabel, ...]


class _Refusal(Struct, frozen=True):
    code: Why
    detail: str


def set_truth_policy(registry: Registry, model: str, policy: TruthPolicy, author: Author) -> None:
    """Set what the answers of a model are scored against.

    Raises ModelNotFound, and InvalidRequest for a policy that cannot be obeyed.
    """
    versions = [one for one in registry.versions(model) if one.state is not VersionState.RETIRED]
    check_truth_policy(policy, [registry.manifest(one).signature for one in versions])
    value = None if policy == TruthPolicy() else msgspec.json.encode(policy).decode()
    service.change_setting(registry, SettingName.TRUTH, model, lambda _: value, author)


def give_feedback(
    registry: Registry,
    trail: AuditTrail,
    model: str,
    given: Sequence[GivenLabel],
    author: Author,
) -> FeedbackTaken:
    """Take a batch of labels, each by itself, with one record that commits to those it kept.

    Raises ModelNotFound, and InvalidRequest for a batch that is empty or too large.
    """
    registry.versions(model)
    if not 1 <= len(given) <= MOST_LABELS:
        raise InvalidRequest("labels", f"A batch has 1 to {MOST_LABELS:,} labels.")
    journaled = trail.journaled({one.record_id for one in given})
    with registry.store.write() as tx:
        taking = _Taking(registry, tx, model, journaled)
        for index, one in enumerate(given):
            taking.take(index, one)
        return _keep(tx, taking, author)


def encode_labels(labels: Sequence[Label]) -> bytes:
    """Write the labels of a batch as its record commits to them: JSON, in their order."""
    return msgspec.json.encode([(one.record_id, one.row, one.value, one.slices) for one in labels])


class _Taking:
    """Decides on the labels of one batch, within its transaction."""

    def __init__(
        self, registry: Registry, tx: Transaction, model: str, journaled: Mapping[str, bytes]
    ) -> None:
        self.model = model
        self.kept: list[Label] = []
        self.new = self.repeated = self.corrected = 0
        self.refused: list[RefusedLabel] = []
        self._registry = registry
        self._tx = tx
        self._journaled = journaled
        self._policy = truth_policy(tx, model)
        self._answers: dict[str, AuditRecord | _Refusal] = {}
        self._targets: dict[int, Target | None] = {}
        self._pending: dict[tuple[str, int], Label] = {}

    def take(self, index: int, given: GivenLabel) -> None:
        """Keep one label, if it is new or a correction."""
        label = self._read(given)
        if isinstance(label, _Refusal):
            self.refused.append(
                RefusedLabel(
                    index=index, record_id=clip(given.record_id), row=given.row,
                    code=label.code, detail=label.detail,
                )
            )  # fmt: skip
            return
        place = (label.record_id, label.row)
        before = self._pending.get(place) or self._tx.label(self.model, *place)
        if before == label:
            self.repeated += 1
            return
        self.new += before is None
        self.corrected += before is not None
        self._pending[place] = label
        self.kept.append(label)

    def _read(self, given: GivenLabel) -> Label | _Refusal:
        answer = self._answers.get(given.record_id)
        if answer is None:
            answer = self._answers[given.record_id] = self._answer(given.record_id)
        if isinstance(answer, _Refusal):
            return answer
        rows = 1 if answer.rows is None else answer.rows
        if not 0 <= given.row < rows:
            return _Refusal(Why.ROW, f"The answer has {rows:,} rows, counted from 0.")
        if not given.slices.keys() <= self._policy.told or any(
            len(text) > MAX_LABEL for text in given.slices.values()
        ):
            return _Refusal(Why.SLICE, _slices_in_words(self._policy.told))
        target = self._target(answer)
        value = None if target is None else target.read_label(given.value)
        if value is None:
            words = "scored by the truth policy" if target is None else target.words
            return _Refusal(Why.KIND, f"A label of this version is {words}.")
        return Label(record_id=answer.id, row=given.row, value=value, slices=given.slices)

    def _answer(self, record_id: str) -> AuditRecord | _Refusal:
        """Find the answer that a label names, in the store or else in the journal."""
        found = self._tx.answer(record_id)
        leaf = self._journaled.get(as_written(record_id))
        if found is None and leaf is not None:
            found = AnswerKept(leaf, is_erased=False, is_expired=False)
        if found is None:
            return _Refusal(Why.RECORD_NOT_FOUND, "There is no such record, or not any more.")
        record = decode_record(found.leaf)
        is_answer = record.kind is Kind.INFERENCE and record.outcome is Outcome.ANSWERED
        if not is_answer or record.lane == Lane.SHADOW:
            return _Refusal(Why.NOT_ANSWERED, "This record is of no answer that a caller got.")
        if record.model != self.model:
            return _Refusal(Why.OTHER_MODEL, "This record is of an answer of another model.")
        if found.is_erased:
            return _Refusal(Why.ERASED, "What was kept of this answer was erased.")
        if found.is_expired:
            return _Refusal(Why.EXPIRED, "What was kept of this answer has expired.")
        return record

    def _target(self, answer: AuditRecord) -> Target | None:
        number = answer.version or 0
        if number not in self._targets:
            version = self._registry.version(self.model, number)
            signature = self._registry.manifest(version).signature
            self._targets[number] = target_of(self._policy, signature)
        return self._targets[number]


def _keep(tx: Transaction, taking: _Taking, author: Author) -> FeedbackTaken:
    """Keep what was taken, with its record."""
    at, salt = now(), new_salt()
    refused: dict[str, int] = {}
    for one in taking.refused:
        refused[one.code] = refused.get(one.code, 0) + 1
    counts = {"new": taking.new, "repeated": taking.repeated, "corrected": taking.corrected}
    record = append_record(
        tx, "feedback", author, at, kind=Kind.FEEDBACK, model=taking.model,
        input=commit(salt, encode_labels(taking.kept)) if taking.kept else None,
        count=len(taking.kept), reason=", ".join(_in_words(counts, refused)),
    )  # fmt: skip
    batch = Batch(id=record.id, model=taking.model, at=at, salt=salt, refused=refused, **counts)
    tx.add_labels(batch, taking.kept)
    return FeedbackTaken(record_id=record.id, refused=tuple(taking.refused), **counts)


def _in_words(counts: Mapping[str, int], refused: Mapping[str, int]) -> Iterator[str]:
    yield from (f"{count} {what}" for what, count in counts.items())
    yield from (f"{count} refused ({code})" for code, count in refused.items())


def _slices_in_words(told: frozenset[str]) -> str:
    if not told:
        return "No slice of this model comes with labels: declare it in the truth policy."
    named = ", ".join(clip(name) for name in sorted(told))
    return f"Slices that come with labels are {named}, each a text of up to {MAX_LABEL} characters."
