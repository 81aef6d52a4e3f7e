"""A contract held against recorded requests: what it would have done, beside what was done."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from gateway.contract import compile_contract, compile_outputs
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import Refusal
from gateway.replay.what_if import as_body
from registry.audit.query import AuditTrail
from registry.audit.replay import Kept, Reason, read_whole
from registry.distribution import Reference
from registry.entry import Payload
from registry.errors import Gone, PayloadNotFound
from registry.manifest import Contract, Signature
from registry.records import AuditRecord, Kind, RecordFilter

# Beside the reasons why an answer cannot be replayed, and those why a payload is not kept.
OTHER_SIGNATURE = "signature"

_EXAMPLES = 3
_LABEL = re.compile(r"(?P<rule>.*?)(?:\[[\d,]*\])?(?: \(would (?P<would>[a-z]+)\))?")

Recorded = tuple[AuditRecord, Payload | str]


class Line(Struct, frozen=True, kw_only=True):
    """How many requests broke one rule, with one effect, and the newest of them."""

    effect: str
    rule: str
    records: int
    examples: tuple[str, ...]


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What a contract makes of the requests of a time, of which some cannot be judged.

    `unjudged` counts those by the reason: a payload that is not kept or gone, or an input that does
    not fit the signature. `rehearsed` is what the contract would have done to the others, and
    `recorded` what was done to them.
    """

    records: int
    judged: int
    unjudged: dict[str, int]
    refused: int
    refused_then: int
    rehearsed: tuple[Line, ...]
    recorded: tuple[Line, ...]


def recorded_requests(trail: AuditTrail, wanted: RecordFilter) -> Iterator[Recorded]:
    """Yield the inferences that a filter accepts, newest first, with payload or why there is none.

    The reason is that of the record, or the slug of the error that the payload is gone with.
    """
    for found in trail.walk(wanted):
        record = found.record
        if record.kind is not Kind.INFERENCE:
            continue
        yield record, read_payload(trail, record)


def read_payload(trail: AuditTrail, record: AuditRecord) -> Payload | str:
    """Return the payload of a record, or why there is none: see `recorded_requests`."""
    try:
        return trail.payload(record.id)
    except Gone as error:
        return error.slug
    except PayloadNotFound:
        return record.payload or Reason.PAYLOAD


def kept_or_why(record: AuditRecord, payload: Payload | str) -> Kept | str:
    """Decode a payload that is as it was, or say in a word why it cannot be judged."""
    if isinstance(payload, str):
        return payload
    kept = read_whole(record, payload)
    if isinstance(kept, Kept):
        return kept
    is_gone = kept.reason is Reason.PAYLOAD
    return (record.payload if is_gone else None) or kept.reason.value


class Rehearsing:
    """Holds one contract against requests, as serving would where all its rules act."""

    def __init__(
        self, signature: Signature, contract: Contract, reference: Reference | None
    ) -> None:
        self._reader = RequestReader(signature)
        self._checker = compile_contract(signature, contract, reference)
        self._outputs = compile_outputs(signature, contract)
        self._with_rules = frozenset(rule.input for rule in contract.outputs)

    def rehearse(self, requests: Iterable[Recorded]) -> Rehearsal:
        """Judge requests as they come, and keep counts of them alone."""
        rehearsed, then = _Lines(), _Lines()
        unjudged: Counter[str] = Counter()
        records = refused = refused_then = 0
        for record, payload in requests:
            records += 1
            effects = self._effects(record, payload)
            if isinstance(effects, str):
                unjudged[effects] += 1
                continue
            done = set(done_effects(record))
            refused += _is_refusal(effects)
            refused_then += _is_refusal(done)
            rehearsed.add(record.id, effects)
            then.add(record.id, done)
        return Rehearsal(
            records=records,
            judged=records - unjudged.total(),
            unjudged=dict(unjudged),
            refused=refused,
            refused_then=refused_then,
            rehearsed=rehearsed.lines(),
            recorded=then.lines(),
        )

    def _effects(self, record: AuditRecord, payload: Payload | str) -> set[str] | str:
        """Name what the rules would do to a request, or why nobody can say."""
        kept = kept_or_why(record, payload)
        if isinstance(kept, str):
            return kept
        request = self._reader.decode(*as_body(kept.inputs))
        if isinstance(request, Refusal):
            return OTHER_SIGNATURE
        found = self._checker.check(request.tensors)
        if not found.rejected and self._with_rules <= kept.outputs.keys():
            found = found.and_also(self._outputs.check(kept.outputs))
        return found.effects()


class _Lines:
    """Counts of effects, with examples."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, record_id: str, effects: Iterable[str]) -> None:
        for effect in effects:
            self._counts[effect] = self._counts.get(effect, 0) + 1
            examples = self._examples.setdefault(effect, [])
            if len(examples) < _EXAMPLES:
                examples.append(record_id)

    def lines(self) -> tuple[Line, ...]:
        """Return a line for each effect, the most frequent first."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            Line(
                effect=name.partition(" ")[0],
                rule=name.partition(" ")[2],
                records=count,
                examples=tuple(self._examples[name]),
            )
            for name, count in ranked
        )


def done_effects(record: AuditRecord) -> Iterator[str]:
    """Name what a record says was done, as `gateway.contract.Violations.effects` does."""
    labels: Mapping[str, tuple[str, ...]] = {
        "rejected": record.violations,
        "flagged": record.flags,
        "observed": record.observed,
        "repaired": record.repaired,
    }
    for effect, broken in labels.items():
        for one in broken:
            found = _LABEL.fullmatch(one)
            assert found is not None
            done = effect if found["would"] is None else f"would-{found['would']}"
            yield f"{done} {found['rule']}"


def _is_refusal(effects: Iterable[str]) -> bool:
    return any(effect.startswith("rejected ") for effect in effects)
