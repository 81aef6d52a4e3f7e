"""The request path: one call in, one reply out, and no reply without its record.

Knows no transport. A call without a valid key and a call beyond what the worker holds are refused
before they cost anything, and are counted and logged instead of recorded: whoever has no key must
not be able to fill the log.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from gateway.batching import Run
from gateway.contract import Findings
from gateway.errors import (
    Forbidden,
    GatewayError,
    InputNotAccepted,
    NotServed,
    Overloaded,
    RecordTooLarge,
    Unauthenticated,
)
from gateway.journal import ENTRY_BYTES, Journal
from gateway.protocol.messages import Encoded, InferRequest, Parameter
from gateway.protocol.refusal import Refusal, label, refuse_for
from gateway.protocol.response import encode_response
from gateway.roster import Roster, ServedVersion
from gateway.security import Keyring, Role, bearer_token
from registry.entry import (
    Entry,
    Payload,
    commit,
    encode_record,
    new_record_id,
    new_salt,
    now_ns,
)
from registry.errors import clip
from registry.records import AuditRecord, Key, Kind, Lane, Outcome
from registry.session import runtime_id
from registry.tensors import encode_tensors

_INVOKERS = frozenset({Role.INVOKER})
# Faults that the caller can mend; every other one is the gateway's or the model's.
_CALLERS_FAULTS = (Forbidden, NotServed, InputNotAccepted, RecordTooLarge)
# The rest of an entry is for the record's own bytes.
PAYLOAD_BYTES = ENTRY_BYTES - (1 << 20)


class Call(Struct, frozen=True, kw_only=True):
    """One inference request as a transport hands it over."""

    model: str
    version: str | None
    body: bytes
    authorization: str | None
    source: str | None
    header_length: int | None = None


class Answer(Struct, frozen=True):
    """The outputs, encoded, and the record that proves them."""

    record_id: str
    encoded: Encoded


class Denial(Struct, frozen=True):
    """Why there are no outputs, and the record that says so."""

    record_id: str
    refusal: Refusal


class _Case:
    """What is known of a call so far; whatever happens, its record tells this."""

    __slots__ = ("call", "findings", "input", "key", "lane", "output", "request", "run", "served")

    def __init__(self, call: Call, key: Key) -> None:
        self.call = call
        self.key = key
        self.served: ServedVersion | None = None
        self.lane: Lane | None = None
        self.request: InferRequest | None = None
        self.findings = Findings.NONE
        self.input: bytes | None = None
        self.output = b""
        self.run: Run | None = None

    def keep(self, input: bytes, output: bytes = b"") -> None:
        """Keep input and output in canonical bytes for the record. Raises RecordTooLarge."""
        if len(input) + len(output) > PAYLOAD_BYTES:
            raise RecordTooLarge(PAYLOAD_BYTES)
        self.input, self.output = input, output


class Pipeline:
    """Answers inference calls from the roster, each with a durable record."""

    def __init__(
        self, *, roster: Callable[[], Roster], journal: Journal, in_flight_limit: int
    ) -> None:
        self._roster = roster
        self._journal = journal
        self._limit = in_flight_limit
        self._in_flight = 0

    async def infer(self, call: Call) -> Answer | Denial:
        """Answer a call, or say why not; its record is on disk when this returns.

        Raises Unauthenticated, Overloaded, and JournalUnavailable or JournalBroken where no record
        could be made durable: then nothing is answered.
        """
        started = time.perf_counter()
        roster = self._roster()
        key = authenticate(roster.keyring, call.authorization)
        if self._in_flight >= self._limit:
            raise Overloaded(self._limit)
        self._in_flight += 1
        try:
            case = _Case(call, key)
            refusal, outcome = await self._decide(case, roster)
            record_id = await self._record(case, refusal, outcome, started)
        finally:
            self._in_flight -= 1
        if refusal is not None:
            return Denial(record_id, refusal)
        return Answer(record_id, _encode(case, record_id))

    async def _decide(self, case: _Case, roster: Roster) -> tuple[Refusal | None, Outcome]:
        try:
            refusal = await self._attempt(case, roster)
        except _CALLERS_FAULTS as fault:
            return Refusal(fault.slug, str(fault)), Outcome.REFUSED
        except GatewayError as fault:
            return Refusal(fault.slug, str(fault)), Outcome.FAILED
        return refusal, Outcome.ANSWERED if refusal is None else Outcome.REFUSED

    async def _attempt(self, case: _Case, roster: Roster) -> Refusal | None:
        authorise(case.key, _INVOKERS)
        case.served, case.lane = roster.choose(case.call.model, case.call.version)
        request = case.served.reader.decode(case.call.body, case.call.header_length)
        if isinstance(request, Refusal):
            return request
        case.request = request
        tensors_in = encode_tensors(request.tensors)
        case.keep(tensors_in)
        case.findings = case.served.checker.check(request.tensors)
        if case.findings.rejected:
            return refuse_for(case.findings.rejected, case.findings.rejected_total)
        names = [output.name for output in request.outputs]
        run = await case.served.batcher.run(request.tensors, request.rows, names)
        case.keep(tensors_in, encode_tensors(run.outputs))
        case.run = run
        return None

    async def _record(
        self, case: _Case, refusal: Refusal | None, outcome: Outcome, started: float
    ) -> str:
        """Return the id of the case's record once it is on disk."""
        time_ns = now_ns()
        payload = _payload(case)
        served, request, findings, run = case.served, case.request, case.findings, case.run
        record = AuditRecord(
            id=new_record_id(time_ns),
            kind=Kind.INFERENCE,
            time=str(time_ns),
            outcome=outcome,
            principal=case.key.id,
            source=case.call.source,
            request_id=None if request is None else request.id,
            model=None if served is None else served.model,
            version=None if served is None else served.number,
            digest=None if served is None else served.artifact,
            manifest=None if served is None else served.manifest,
            runtime=None if run is None else runtime_id(),
            lane=case.lane,
            rows=None if request is None else request.rows,
            batch=None if run is None else run.batch,
            batch_row=None if run is None else run.batch_row,
            error=None if refusal is None else refusal.code,
            latency_us=int((time.perf_counter() - started) * 1e6),
            input=None if payload is None else commit(payload.salt, payload.input),
            output=commit(payload.salt, payload.output) if payload and payload.output else None,
            subject=clip(case.call.model) if served is None else None,
            violations=() if refusal is None else tuple(map(label, refusal.violations)),
            flags=tuple(map(label, findings.flagged)),
            observed=tuple(map(label, findings.observed)),
        )
        await self._journal.append(Entry(encode_record(record), payload))
        return record.id


def authenticate(keyring: Keyring, authorization: str | None) -> Key:
    """Return the key that a request brings. Raises Unauthenticated."""
    token = bearer_token(authorization)
    key = None if token is None else keyring.find(token, datetime.now(UTC))
    if key is None:
        raise Unauthenticated
    return key


def authorise(key: Key, roles: frozenset[Role]) -> None:
    """Let a key pass that has one of the roles. Raises Forbidden."""
    if roles.isdisjoint(key.roles):
        raise Forbidden(frozenset(str(role) for role in roles))


def _payload(case: _Case) -> Payload | None:
    if case.input is None:
        return None
    return Payload(new_salt(), case.input, case.output)


def _encode(case: _Case, record_id: str) -> Encoded:
    assert case.served is not None
    assert case.request is not None
    assert case.lane is not None
    assert case.run is not None
    parameters: dict[str, Parameter] = {"record_id": record_id, "lane": case.lane.value}
    if case.findings.flagged:
        parameters["flags"] = ", ".join(map(label, case.findings.flagged))
    return encode_response(
        model=case.served.model,
        version=str(case.served.number),
        id=case.request.id,
        parameters=parameters,
        outputs=case.run.outputs,
        requested=case.request.outputs,
    )
