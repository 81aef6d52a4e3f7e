"""What another version would have said to a recorded input, from its signature to its outputs.

The input is read and held against the contract as serving would, so what serving would refuse is
refused here, with the same violations.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from gateway.contract import Violations, compile_contract, compile_outputs
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import Refusal, Violation, label, refuse_for, withhold_for
from registry.audit.comparison import Distance, measure_all
from registry.audit.replay import Engine, Reason, Why, read_whole, run_as_served
from registry.entry import Payload
from registry.manifest import Manifest
from registry.records import AuditRecord
from registry.tensors import Tensor, datatype_of, element_bytes
from registry.versions import Version


class Opinion(StrEnum):
    """What the other version says, beside what was recorded."""

    SAME = "same"  # every bit of every recorded output
    DIFFERS = "differs"
    ANSWERED = "answered"  # it answers, where the recorded version did not
    NOT_ACCEPTED = "not_accepted"  # the input does not meet its signature
    REFUSED = "refused"  # a rule of its contract refuses the input or its answer to it
    NOT_COMPARABLE = "not_comparable"  # nobody can say


class WhatIf(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version says to the input of a record that another one answered or refused."""

    record_id: str
    model: str | None
    recorded_version: int | None
    version: int
    digest: str
    result: Opinion
    reason: Reason | None = None
    detail: str
    violations: tuple[Violation, ...] = ()
    flags: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    outputs: tuple[Distance, ...] = ()
    changed_labels: int = 0
    runtime: str


_SENTENCES = {
    Opinion.SAME: "This version gives the same answer, bit for bit.",
    Opinion.DIFFERS: "This version gives another answer.",
    Opinion.ANSWERED: "This version answers a request that the recorded one did not answer.",
}


class OtherVersion:
    """One version, ready to be asked what it would have said."""

    def __init__(self, version: Version, manifest: Manifest, engine: Engine) -> None:
        self._version = version
        self._reader = RequestReader(manifest.signature)
        self._checker = compile_contract(manifest.signature, manifest.contract, manifest.reference)
        self._outputs = compile_outputs(manifest.signature, manifest.contract)
        self._with_classes = frozenset(manifest.signature.labels)
        self._engine = engine

    def ask(self, record: AuditRecord, payload: Payload | None) -> WhatIf:
        """Say what this version would have answered."""
        kept = read_whole(record, payload)
        if isinstance(kept, Why):
            return self._unknown(record, kept)
        request = self._reader.decode(*as_body(kept.inputs))
        if isinstance(request, Refusal):
            return self._refused(record, Opinion.NOT_ACCEPTED, request)
        broken = self._checker.check(request.tensors)
        if broken.rejected:
            refusal = refuse_for(broken.rejected, broken.rejected_total)
            return self._refused(record, Opinion.REFUSED, refusal)
        inputs = self._checker.repair(request.tensors) if broken.repaired else request.tensors
        found = run_as_served(self._engine, self._version.artifact, inputs, record)
        if isinstance(found, Why):
            return self._unknown(record, found)
        of_outputs = self._outputs.check(found)
        if of_outputs.rejected:
            refusal = withhold_for(of_outputs.rejected, of_outputs.rejected_total)
            return self._refused(record, Opinion.REFUSED, refusal)
        return self._answered(record, kept.outputs, found, broken.and_also(of_outputs))

    def _answered(
        self,
        record: AuditRecord,
        recorded: Mapping[str, Tensor],
        found: Mapping[str, Tensor],
        broken: Violations,
    ) -> WhatIf:
        distances = measure_all(recorded, found, self._with_classes)
        is_same = all(one.is_identical for one in distances)
        opinion = Opinion.SAME if is_same else Opinion.DIFFERS
        if not recorded:
            opinion = Opinion.ANSWERED
        return msgspec.structs.replace(
            self._say(record, opinion, _SENTENCES[opinion]),
            flags=tuple(map(label, broken.flagged)),
            repaired=tuple(map(label, broken.repaired)),
            outputs=distances,
            changed_labels=sum(one.changed_labels or 0 for one in distances),
        )

    def _refused(self, record: AuditRecord, opinion: Opinion, refusal: Refusal) -> WhatIf:
        said = self._say(record, opinion, refusal.detail)
        return msgspec.structs.replace(said, violations=refusal.violations)

    def _unknown(self, record: AuditRecord, cause: Why) -> WhatIf:
        said = self._say(record, Opinion.NOT_COMPARABLE, cause.detail)
        return msgspec.structs.replace(said, reason=cause.reason)

    def _say(self, record: AuditRecord, opinion: Opinion, detail: str) -> WhatIf:
        return WhatIf(
            record_id=record.id,
            model=record.model,
            recorded_version=record.version,
            version=self._version.number,
            digest=self._version.artifact,
            result=opinion,
            detail=detail,
            runtime=self._engine.runtime,
        )


def as_body(tensors: Mapping[str, Tensor]) -> tuple[bytes, int]:
    """Write inputs as a request of the protocol's binary form: its body, and how much is JSON."""
    parts = [element_bytes(tensor) for tensor in tensors.values()]
    inputs = [
        {
            "name": name,
            "shape": tensor.shape,
            "datatype": datatype_of(tensor),
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, tensor), part in zip(tensors.items(), parts, strict=True)
    ]
    head = msgspec.json.encode({"inputs": inputs})
    return head + b"".join(parts), len(head)
