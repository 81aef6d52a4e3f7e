"""The record that tells what became of a call, and the payload beside it.

Whatever became of a case, refused, failed or answered, its record says so.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.cases import Case
from gateway.contract import Violations
from gateway.contract.labels import labels_for_record
from registry.entry import Entry, Payload, commit, encode_record, new_salt
from registry.errors import clip
from registry.records import AuditRecord, Kind, Outcome
from registry.session import runtime_id
from registry.tensors import Tensor, encode_tensors


class Commitments(Struct, frozen=True):
    """What the record of a case says of its payload: commitments, and why it is not kept."""

    input: str | None = None
    output: str | None = None
    subject: str | None = None
    payload: str | None = None
    reduced: tuple[str, ...] = ()


_NOTHING = Commitments()
_OFF = Commitments(payload="off")


def write_entry(case: Case, payload_limit: int) -> Entry:
    """Write the record of a case that has its outcome, and the payload beside it.

    What is kept, and so what is committed to, is what the model's policy leaves of it; more than
    `payload_limit` bytes are committed to and not kept, unless the policy has a limit.
    """
    request, keeping = case.request, None if case.served is None else case.served.keeping
    if request is None:
        return Entry(encode_record(_record(case, _NOTHING)), None)
    inputs: Mapping[str, Tensor] = request.tensors
    outputs, refusal = case.outputs, None
    salt = new_salt()
    if keeping is not None:
        if keeping.is_off:
            return Entry(encode_record(_record(case, _OFF)), None)
        inputs, outputs = keeping.inputs(inputs), keeping.outputs(outputs)
        refusal = keeping.refusal(salt)
        payload_limit = keeping.limit(payload_limit)
    given = encode_tensors(inputs)
    answered = encode_tensors(outputs) if case.outcome is Outcome.ANSWERED else None
    if refusal is None and len(given) + len(answered or b"") > payload_limit:
        refusal = "too-large"
    leaf = _leaf(
        case,
        Commitments(
            commit(salt, given),
            None if answered is None else commit(salt, answered),
            None if request.subject is None else commit(salt, request.subject.encode()),
            refusal,
            () if keeping is None else keeping.reduced,
        ),
    )
    if refusal is not None:
        return Entry(leaf, Payload(salt, None, None, request.subject))
    return Entry(leaf, Payload(salt, given, answered or b"", request.subject))


def _leaf(case: Case, kept: Commitments) -> bytes:
    served, request, run = case.served, case.request, case.run
    is_plain = (
        kept.output is not None
        and case.violations is Violations.NONE
        and case.call.trace is None
        and case.canary_error is None
        and case.twin is None
    )
    if not is_plain or served is None or request is None or run is None or case.lane is None:
        return encode_record(_record(case, kept))
    return served.leaves.write(
        case.lane,
        case.key.id,
        case.call.source,
        id=case.record_id,
        time_ns=case.time_ns,
        request_id=request.id,
        rows=request.rows,
        batch=run.batch,
        batch_row=run.batch_row,
        latency_us=case.elapsed_ns // 1000,
        input=kept.input or "",
        output=kept.output or "",
        subject=kept.subject,
        payload=kept.payload,
    )


def _record(case: Case, kept: Commitments) -> AuditRecord:
    served, request, run, found = case.served, case.request, case.run, case.violations
    assert case.outcome is not None
    return AuditRecord(
        id=case.record_id,
        kind=Kind.INFERENCE,
        time=str(case.time_ns),
        outcome=case.outcome,
        principal=case.key.id,
        source=case.call.source,
        request_id=None if request is None else request.id,
        trace=None if case.call.trace is None else case.call.trace.trace_id,
        model=None if served is None else served.model,
        version=None if served is None else served.number,
        digest=None if served is None else served.artifact,
        manifest=None if served is None else served.manifest,
        runtime=None if run is None else runtime_id(),
        lane=case.lane,
        rows=None if request is None else request.rows,
        batch=None if run is None else run.batch,
        batch_row=None if run is None else run.batch_row,
        error=None if case.refusal is None else case.refusal.code,
        latency_us=case.elapsed_ns // 1000,
        input=kept.input,
        output=kept.output,
        subject_commitment=kept.subject,
        reduced=kept.reduced,
        payload=kept.payload,
        subject=clip(case.call.model) if served is None else None,
        violations=() if case.refusal is None else labels_for_record(case.refusal.violations),
        flags=labels_for_record(found.flagged),
        observed=labels_for_record(found.observed),
        repaired=labels_for_record(found.repaired),
        rollout=case.shadow_of if case.canary is None else case.canary.rollout.id,
        twin=case.twin,
        canary_error=case.canary_error,
    )
