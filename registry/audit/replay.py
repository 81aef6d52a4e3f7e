"""Asking again: the recorded input on the recorded artifact, and if the answer has the same bits.

What cannot be compared says why, and never passes as the same. How a model is run is the business
of an `Engine`; nothing here loads one.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import msgspec
from msgspec import Struct

from registry.artifacts import Artifacts
from registry.audit.comparison import Distance, measure_all
from registry.entry import Payload, commit
from registry.errors import ArtifactDamaged, ArtifactNotFound
from registry.manifest import Manifest
from registry.records import AuditRecord, Outcome
from registry.repairs import Repairs
from registry.tensors import Tensor, decode_tensors, encode_tensors, with_texts

_MANIFESTS_KEPT = 64


class Agreement(StrEnum):
    """How an answer that was computed again stands to the recorded one."""

    IDENTICAL = "identical"  # every bit of every output
    WITHIN_TOLERANCE = "within_tolerance"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not_comparable"


class Reason(StrEnum):
    """Why an answer is not comparable."""

    OUTCOME = "outcome"  # there was no answer
    PAYLOAD = "payload"  # input or output are not kept, or not as they were
    COMMITMENT = "commitment"  # what is kept is not what the record commits to
    ARTIFACT = "artifact"  # missing, damaged, or not loaded by this runtime
    RUNTIME = "runtime"  # another onnxruntime or other processor features
    NONDETERMINISTIC = "nondeterministic"  # the model answers differently by itself
    RUN = "run"  # no answer could be computed now


SENTENCES = {
    Reason.OUTCOME: "The request was not answered, so there is no answer to compare with.",
    Reason.PAYLOAD: "The input or the output of this record is not kept, or not any more.",
    Reason.COMMITMENT: "What is kept beside the record is not what the record commits to.",
    Reason.RUNTIME: "The answer was computed by another runtime, or on another kind of processor.",
    Reason.NONDETERMINISTIC: "The model gives different answers to the same input by itself.",
}


_AGREED = {
    Agreement.IDENTICAL: "Every bit of every output is the same.",
    Agreement.WITHIN_TOLERANCE: "Some bits differ, and every number lies within the tolerance.",
    Agreement.DIFFERENT: "The same input on the same artifact gives another answer.",
}


class Kept(Struct, frozen=True):
    """What a payload holds, decoded; `outputs` are empty where no answer was computed."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


class Why(Struct, frozen=True):
    """A reason, and the sentence that says it of this case."""

    reason: Reason
    detail: str


class Engine(Protocol):
    """Runs artifacts as serving does."""

    runtime: str

    def run(self, digest: str, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor] | Why:
        """Return all outputs of an artifact by name, or why there are none."""
        ...


class Replay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one record was replayed, and what came of it.

    `outputs` are measured wherever an answer was computed: also where it is not comparable, as
    information. `compared` is then what their bits alone say.
    """

    record_id: str
    model: str | None
    version: int | None
    digest: str | None
    result: Agreement
    reason: Reason | None = None
    detail: str
    compared: Agreement | None = None
    outputs: tuple[Distance, ...] = ()
    recorded_runtime: str | None = None
    runtime: str


class Replayer:
    """Replays records on the artifacts they name."""

    def __init__(self, artifacts: Artifacts, engine: Engine) -> None:
        self._engine = engine
        self._manifest = lru_cache(_MANIFESTS_KEPT)(lambda digest: read_manifest(artifacts, digest))

    def replay(self, record: AuditRecord, payload: Payload | None) -> Replay:
        """Run the recorded input again and compare every bit of the outputs that were answered."""
        if record.outcome is not Outcome.ANSWERED or not record.digest or not record.manifest:
            return self._say(record, why(Reason.OUTCOME))
        kept = read_whole(record, payload)
        if isinstance(kept, Why):
            return self._say(record, kept)
        manifest = self._manifest(record.manifest)
        if isinstance(manifest, Why):
            return self._say(record, manifest)
        inputs = kept.inputs
        if record.repaired:  # what is kept is what the caller sent, and the model got this
            inputs = Repairs(manifest.signature, manifest.contract).apply(inputs)
        found = run_as_served(self._engine, record.digest, inputs, record)
        if isinstance(found, Why):
            return self._say(record, found)
        distances = measure_all(kept.outputs, found, frozenset(manifest.signature.labels))
        cause = self._why_not_comparable(record, manifest)
        if cause is None and not all(one.is_identical for one in distances):
            cause = self._run_once_more(record, record.digest, inputs, found)
        return self._say(record, cause, distances)

    def _why_not_comparable(self, record: AuditRecord, manifest: Manifest) -> Why | None:
        if record.runtime != self._engine.runtime:
            return why(Reason.RUNTIME)
        if manifest.certificate.is_deterministic is False:
            return why(Reason.NONDETERMINISTIC)
        return None

    def _run_once_more(
        self,
        record: AuditRecord,
        digest: str,
        inputs: Mapping[str, Tensor],
        found: Mapping[str, Tensor],
    ) -> Why | None:
        """Tell a model that is not deterministic from an answer that cannot be reproduced."""
        again = run_as_served(self._engine, digest, inputs, record)
        if isinstance(again, Why):
            return again
        is_same = encode_tensors(again) == encode_tensors(found)
        return None if is_same else why(Reason.NONDETERMINISTIC)

    def _say(
        self, record: AuditRecord, cause: Why | None, distances: tuple[Distance, ...] = ()
    ) -> Replay:
        compared = agreement(distances) if distances else None
        result = compared if cause is None and compared is not None else Agreement.NOT_COMPARABLE
        return Replay(
            record_id=record.id,
            model=record.model,
            version=record.version,
            digest=record.digest,
            result=result,
            reason=None if cause is None else cause.reason,
            detail=_AGREED[result] if cause is None else cause.detail,
            compared=compared,
            outputs=distances,
            recorded_runtime=record.runtime,
            runtime=self._engine.runtime,
        )


def run_as_served(
    engine: Engine, digest: str, inputs: Mapping[str, Tensor], record: AuditRecord
) -> Mapping[str, Tensor] | Why:
    """Return all outputs of an artifact for the input of a record, or why there are none.

    A row that ran with others runs beside a copy of itself: which others they were changes no bit
    of its answer, but whether there were any may.
    """
    if record.rows == 1 and record.batch is not None and record.batch > 1:
        found = engine.run(digest, {name: value.repeat(2, 0) for name, value in inputs.items()})
        # Another version may take no second row.
        if not isinstance(found, Why) and all(v.shape[:1] == (2,) for v in found.values()):
            return {name: value[:1] for name, value in found.items()}
    return engine.run(digest, inputs)


def read_whole(record: AuditRecord, payload: Payload | None) -> Kept | Why:
    """Decode a payload that holds input and output as they were, or say why it does not."""
    kept = read_kept(record, payload)
    if isinstance(kept, Kept) and record.reduced:
        named = ", ".join(record.reduced)
        return Why(Reason.PAYLOAD, f"What is kept was reduced by the model's policy: {named}.")
    return kept


def read_kept(record: AuditRecord, payload: Payload | None) -> Kept | Why:
    """Decode a payload as it is kept, having checked it against the record's commitments."""
    if payload is None or payload.input is None or payload.output is None:
        return why(Reason.PAYLOAD)
    answered = commit(payload.salt, payload.output) if record.output is not None else None
    is_whole = record.input == commit(payload.salt, payload.input) and record.output == answered
    if not is_whole or (record.output is None and payload.output):
        return why(Reason.COMMITMENT)
    return Kept(with_texts(decode_tensors(payload.input)), decode_tensors(payload.output))


def read_manifest(artifacts: Artifacts, digest: str) -> Manifest | Why:
    """Read a manifest by its digest, or say why that cannot be done."""
    try:
        return msgspec.json.decode(artifacts.read(digest), type=Manifest)
    except (ArtifactNotFound, ArtifactDamaged) as error:
        return Why(Reason.ARTIFACT, str(error))


def agreement(distances: tuple[Distance, ...]) -> Agreement:
    """Say in one word how outputs stand to the recorded ones."""
    if all(one.is_identical for one in distances):
        return Agreement.IDENTICAL
    if all(one.is_within for one in distances):
        return Agreement.WITHIN_TOLERANCE
    return Agreement.DIFFERENT


def why(reason: Reason) -> Why:
    """Give a reason in its usual sentence."""
    return Why(reason, SENTENCES[reason])
