"""The challenger of one rollout: runs what the champion answered, and is compared with it.

Whatever the challenger does with a request is a value: an answer, a refusal by its contract, or a
failure. An answer of another form, or with NaN where the live one has a number, is a failure.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from gateway.batching import run_one
from gateway.case_records import write_entry
from gateway.cases import Answer, Call, Case, Denial
from gateway.errors import InputNotAccepted
from gateway.protocol.refusal import Refusal
from gateway.replay.what_if import as_body
from gateway.roster import ServedVersion
from gateway.shadow.comparing import (
    Criterion,
    Difference,
    differ,
    find_fault,
    guarded,
    unguarded,
)
from gateway.shadow.wire import Shadowed
from registry.entry import Entry
from registry.records import Lane, Outcome
from registry.rollouts import Rollout
from registry.tensors import Tensor, decode_tensors, with_texts
from registry.times import now
from registry.workers import Key

# No fault that a caller could ever meet, and so none of the tree.
_ENDED = Refusal("shadow-ended", "The process that ran the challenger ended.")


class Finished(Struct, frozen=True, kw_only=True):
    """What became of one request, on its way to be recorded and counted.

    `live` are the champion's outputs, None where it failed. `failure` says why the challenger has
    no answer that could be given. `differences` are by the criteria of the challenger, in their
    order; there are none unless both have answered.
    """

    challenger: "Challenger"
    shadowed: Shadowed
    case: Case
    entry: Entry
    live: Mapping[str, Tensor] | None
    failure: str | None
    differences: tuple[Difference, ...]

    @property
    def is_answered(self) -> bool:
        return self.case.outcome is Outcome.ANSWERED and self.failure is None


class Challenger:
    """The loaded challenger of a rollout in shadow; one thread at a time runs it."""

    def __init__(self, rollout: Rollout, served: ServedVersion, payload_limit: int) -> None:
        self.rollout = rollout
        self.served = served
        self._payload_limit = payload_limit
        guards = guarded(rollout.plan, served.signature)
        self.guards = len(guards)
        self.criteria: tuple[Criterion, ...] = guards + unguarded(served.signature, guards)

    def answer(self, shadowed: Shadowed) -> Finished:
        """Run a request as serving would, and compare."""
        case = self._case(shadowed)
        try:
            self._read(case, shadowed)
            if case.outcome is None and case.meets_contract():
                case.take(run_one(self.served.runner, case.runnable))
        except Exception as fault:  # noqa: BLE001 - whatever a challenger does ends its case alone
            case.fail(fault)
        return self._finish(case, shadowed)

    def fail(self, shadowed: Shadowed) -> Finished:
        """Tell of a request that ended the process it ran in, of which no values are left."""
        case = self._case(shadowed)
        case.refuse(_ENDED, Outcome.FAILED)
        return self._finish(case, shadowed)

    def _case(self, shadowed: Shadowed) -> Case:
        call = Call(model=self.served.model, version=None, body=b"", credential=None, source=None)
        case = Case(call, _key(shadowed.key_id), _answer_nobody)
        case.served, case.lane = self.served, Lane.SHADOW
        case.shadow_of, case.twin = self.rollout.id, shadowed.record_id
        return case

    def _read(self, case: Case, shadowed: Shadowed) -> None:
        tensors = with_texts(decode_tensors(shadowed.inputs))
        request = self.served.reader.decode(*as_body(tensors))
        if isinstance(request, Refusal):
            case.refuse(request, Outcome.FAILED)
        else:
            case.request = replace(request, id=shadowed.request_id, subject=shadowed.subject)

    def _finish(self, case: Case, shadowed: Shadowed) -> Finished:
        live = None if shadowed.outputs is None else decode_tensors(shadowed.outputs)
        failure = _failure(case, live)
        differences: tuple[Difference, ...] = ()
        if live is not None and failure is None and case.outcome is Outcome.ANSWERED:
            differences = tuple(
                differ(one, live[one.output], case.values[one.output], shadowed.rows)
                for one in self.criteria
            )
        return Finished(
            challenger=self,
            shadowed=shadowed,
            case=case,
            entry=write_entry(case, self._payload_limit),
            live=live,
            failure=failure,
            differences=differences,
        )


def _failure(case: Case, live: Mapping[str, Tensor] | None) -> str | None:
    """Say why the challenger has no answer that could be given.

    A refusal by its contract is no failure; one by the model itself is.
    """
    if case.refusal is not None:
        is_failure = case.outcome is Outcome.FAILED or case.refusal.code == InputNotAccepted.slug
        return case.refusal.code if is_failure else None
    return None if live is None else find_fault(live, case.values)


def _key(key_id: str) -> Key:
    """Return as much of a caller's key as a record needs."""
    return Key(
        id=key_id, name="", digest=b"", roles=(), author="", created=now(), expires=None,
        revoked=None,
    )  # fmt: skip


def _answer_nobody(_: Answer | Denial | Exception) -> None:
    raise AssertionError("nobody waits for the answer of a shadow")
