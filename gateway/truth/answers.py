"""Recorded answers, read to be scored: what a version said of each row, as far as that is kept."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from gateway.truth.scoring import Scored, Unscorable, score_row
from gateway.truth.slices import slice_value
from gateway.truth.tensors import Rows, read_rows
from registry.errors import Damaged, Gone, PayloadKeyMissing
from registry.labels import Label
from registry.reader import Reader
from registry.records import RecordFilter
from registry.registry import Registry
from registry.truth_policy import Target, TruthPolicy, target_of

_TARGETS_KEPT = 64
_PAGE = 1_000


class Heading(Struct, frozen=True):
    """What of a leaf scoring needs; times are nanoseconds since 1970."""

    id: str
    time: str
    model: str | None = None
    version: int | None = None
    lane: str | None = None
    reduced: tuple[str, ...] = ()
    rollout: str | None = None
    twin: str | None = None
    canary_error: str | None = None

    @property
    def time_us(self) -> int:
        return int(self.time) // 1000


class Answer(Struct, frozen=True):
    """One answer: its heading, and what is kept of it, or why nothing is."""

    heading: Heading
    target: Target | None
    output: Rows | Unscorable
    inputs: Mapping[str, Rows]


_headings = msgspec.json.Decoder(Heading)


class Answers:
    """Reads answers of one model out of one state of the store; the rows of one are read once."""

    def __init__(self, registry: Registry, view: Reader, model: str, policy: TruthPolicy) -> None:
        self._registry = registry
        self._view = view
        self._model = model
        self._policy = policy
        self._inputs = {one.input for one in policy.slices if one.input is not None}
        self._heading: Heading | None = None
        self._answer: Answer | None = None
        self.target = lru_cache(_TARGETS_KEPT)(self._target)

    def heading(self, record_id: str) -> Heading | None:
        """Return what a record says of an answer; None where it is not in the store."""
        if self._heading is None or self._heading.id != record_id:
            found = self._view.record(record_id)
            self._heading = None if found is None else _headings.decode(found[1])
        return self._heading

    def read(self, heading: Heading) -> Answer:
        """Return what is kept of an answer."""
        if self._answer is None or self._answer.heading.id != heading.id:
            self._answer = self._read(heading)
        return self._answer

    def score(self, answer: Answer, label: Label) -> Scored | Unscorable:
        """Hold one row of an answer against its label."""
        if answer.target is None:
            return Unscorable.NO_OUTPUT
        if isinstance(answer.output, Unscorable):
            return answer.output
        return score_row(answer.target, answer.output.row(label.row), label.value)

    def slices(self, answer: Answer, label: Label) -> tuple[str, ...]:
        """Return the value that each declared slice has of a row."""
        row = {name: rows.row(label.row) for name, rows in answer.inputs.items()}
        return tuple(slice_value(one, row, label.slices) for one in self._policy.slices)

    def _target(self, number: int) -> Target | None:
        manifest = self._registry.manifest(self._registry.version(self._model, number))
        return target_of(self._policy, manifest.signature)

    def _read(self, heading: Heading) -> Answer:
        target = None if heading.version is None else self.target(heading.version)
        if target is None:
            return Answer(heading, None, Unscorable.NO_OUTPUT, {})
        try:
            payload = self._view.payload(heading.id)
        except PayloadKeyMissing:
            return Answer(heading, target, Unscorable.KEY_MISSING, {})
        except (Gone, Damaged):
            payload = None
        if payload is None or not payload.output:
            return Answer(heading, target, Unscorable.NOT_KEPT, {})
        inputs = read_rows(payload.input, self._inputs) if payload.input and self._inputs else {}
        if any(one.rpartition(":")[0] == target.output for one in heading.reduced):
            return Answer(heading, target, Unscorable.REDUCED, inputs)
        output = read_rows(payload.output, {target.output}).get(target.output)
        return Answer(heading, target, output or Unscorable.NO_OUTPUT, inputs)


def shadows(view: Reader, wanted: RecordFilter) -> Iterator[tuple[str, str]]:
    """Yield the ids of live answers and of those that a shadow gave beside them, newest first."""
    before: str | None = None
    while page := view.records(wanted, before=before, limit=_PAGE):
        for _, leaf in page:
            heading = _headings.decode(leaf)
            before = heading.id
            if heading.twin is not None:
                yield heading.twin, heading.id
