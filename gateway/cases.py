"""One inference call as a worker meets it: what is known of it, until it has an outcome."""

import time
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gateway.batching import Run
from gateway.contract import Violations
from gateway.contract.labels import parameters_for_answer
from gateway.errors import (
    SHED,
    Forbidden,
    GatewayError,
    InputNotAccepted,
    NotServed,
    TooLate,
    Unforeseen,
)
from gateway.logs import logger
from gateway.protocol.messages import Encoded, InferRequest, Parameter
from gateway.protocol.refusal import Refusal, refuse_for, withhold_for, without_expected
from gateway.protocol.response import encode_response
from gateway.roster import Canary, ServedVersion
from gateway.trace_context import TraceContext
from gateway.tracing import Times
from registry.entry import new_record_id, now_ns
from registry.records import Lane, Outcome
from registry.tensors import Tensor
from registry.workers import Key

# The rank of a request without a priority: all that have one go before it.
LEAST_URGENT = 1 << 32
# Faults that the caller can mend; every other one is the gateway's or the model's.
_CALLERS_FAULTS = (Forbidden, NotServed, InputNotAccepted, TooLate)


class Call(Struct, frozen=True, kw_only=True):
    """One inference request as a transport hands it over.

    `header_length` is that of the JSON before binary tensors, `encoding` how the body is packed,
    `credential` is what `gateway.security.read_credential` made of the header, `trace` the trace of
    the caller's that this request is part of.
    """

    model: str
    version: str | None
    body: bytes
    credential: bytes | None
    source: str | None
    header_length: int | None = None
    encoding: str = "identity"
    trace: TraceContext | None = None


class Answer(Struct, frozen=True):
    """The outputs, encoded, and the record that proves them."""

    record_id: str
    encoded: Encoded


class Denial(Struct, frozen=True):
    """Why there are no outputs, and the record that says so."""

    record_id: str
    refusal: Refusal


# Takes what became of a call; an exception where there is no record, and so neither of the others.
Reply = Callable[[Answer | Denial | Exception], None]


class Case:
    """What is known of a call so far. It is open until it has an outcome."""

    served: ServedVersion | None = None
    lane: Lane | None = None
    request: InferRequest | None = None
    repaired: InferRequest | None = None
    violations = Violations.NONE
    would_refuse = False  # the contract's rules, if they all acted as they declare
    run: Run | None = None
    values: Mapping[str, Tensor] = {}  # all outputs of the run, asked for or not
    outputs: Mapping[str, Tensor] = {}
    encoded = Encoded(b"")
    encode_ns = 0
    refusal: Refusal | None = None
    outcome: Outcome | None = None
    # Of a request to a champion that shares its callers: the canaries that it is evidence of, the
    # one that it met, and the code that the challenger failed with.
    canaries: tuple[Canary, ...] = ()
    canary: Canary | None = None
    canary_error: str | None = None
    # Of a request that a challenger runs beside the answer: that answer's record, and the rollout.
    twin: str | None = None
    shadow_of: str | None = None

    def __init__(self, call: Call, key: Key, reply: Reply) -> None:
        self.call = call
        self.key = key
        self.reply = reply
        self.started_ns = time.perf_counter_ns()
        self.time_ns = now_ns()
        self.record_id = new_record_id(self.time_ns)

    @property
    def runnable(self) -> InferRequest:
        """A request that could be read, as the model gets it: repaired where a rule says so."""
        assert self.request is not None
        return self.repaired or self.request

    @property
    def ran_as_sent(self) -> bool:
        """Whether the caller has the model's answer to just what it sent."""
        return self.outcome is Outcome.ANSWERED and self.repaired is None

    @property
    def urgency(self) -> int:
        """Rank the case among those that wait: the least goes first."""
        priority = 0 if self.request is None else self.request.priority
        return min(priority or LEAST_URGENT, LEAST_URGENT)

    @property
    def elapsed_ns(self) -> int:
        """How long ago the call came."""
        return time.perf_counter_ns() - self.started_ns

    @property
    def is_late(self) -> bool:
        """Whether the caller has said that an answer is of no use any more."""
        timeout_us = None if self.request is None else self.request.timeout_us
        return timeout_us is not None and self.elapsed_ns > timeout_us * 1000

    @property
    def has_failed(self) -> bool:
        """Whether the version or the gateway failed, or the model itself refused the input."""
        return self.outcome is Outcome.FAILED or (
            self.refusal is not None and self.refusal.code == InputNotAccepted.slug
        )

    @property
    def was_shed(self) -> bool:
        """Whether the version that the case met first did not run it, for want of room or time."""
        code = None if self.refusal is None else self.refusal.code
        return (self.canary_error or code) in SHED

    def meet(self, canary: Canary) -> None:
        """Let a challenger answer in place of the champion."""
        self.canary, self.canaries = canary, (canary,)
        self.served, self.lane = canary.challenger, Lane.CANARY

    def gives_way(self) -> bool:
        """Open the case again, for the champion, if it met a challenger that failed.

        A challenger that refuses the request by its contract did not fail, nor did one that a
        caller's own timeout left no time for.
        """
        refusal = self.refusal
        if self.canary is None or refusal is None or self.canary_error is not None:
            return False
        if not self.has_failed:
            return False
        self.canary_error = refusal.code
        self.served, self.lane = self.canary.champion, Lane.CHAMPION
        self.repaired, self.violations, self.would_refuse = None, Violations.NONE, False
        self.run, self.refusal, self.outcome = None, None, None
        return True

    def refuse(self, refusal: Refusal, outcome: Outcome = Outcome.REFUSED) -> None:
        self.refusal = without_expected(refusal) if self.key.hides_expected else refusal
        self.outcome = outcome

    def judge(self, found: Violations) -> Violations:
        """Take what the request or its answer breaks, and return it as the rules act now."""
        assert self.served is not None
        acted = self.served.enforcement.apply(found, self.time_ns)
        self.would_refuse |= bool(found.rejected)
        self.violations = self.violations.and_also(acted)
        return acted

    def meets_contract(self) -> bool:
        """Keep what the request breaks, repair what is to be, and say if it may be answered yet."""
        assert self.served is not None
        found = self.served.checker.check(self.runnable.tensors)
        if found is Violations.NONE:
            return True
        broken = self.judge(found)
        if broken.rejected:
            self.refuse(refuse_for(broken.rejected, broken.rejected_total))
        elif broken.repaired:
            self.repair()
        return self.outcome is None

    def repair(self) -> None:
        """Let the model run on what the rules that repair make of the request."""
        assert self.served is not None
        assert self.request is not None
        tensors = self.served.checker.repair(self.request.tensors)
        self.repaired = replace(self.request, tensors=tensors)

    def fail(self, error: Exception) -> None:
        """End the case with a fault; one that nobody foresaw is logged and tells nothing."""
        if not isinstance(error, GatewayError):
            logger.error("unforeseen_error", record_id=self.record_id, exc_info=error)
            error = Unforeseen()
        outcome = Outcome.REFUSED if isinstance(error, _CALLERS_FAULTS) else Outcome.FAILED
        self.refuse(Refusal(error.slug, str(error)), outcome)

    def take(self, run: Run | Exception) -> None:
        """Answer with what a run brought."""
        if isinstance(run, Exception):
            self.fail(run)
            return
        started_ns = time.perf_counter_ns()
        try:
            self._answer_with(run)
        except Exception as fault:  # noqa: BLE001 - the case's own end, and no other's
            self.fail(fault)
        else:
            self.encode_ns = time.perf_counter_ns() - started_ns

    def result(self) -> Answer | Denial:
        """Return what the caller gets once the record is on disk."""
        if self.refusal is not None:
            return Denial(self.record_id, self.refusal)
        return Answer(self.record_id, self.encoded)

    def times(self) -> Times:
        """Tell what became of a case that has its outcome, and where its time went."""
        served, run = self.served, self.run
        return Times(
            record_id=self.record_id,
            model=None if served is None else served.model,
            version=None if served is None else served.number,
            lane=self.lane,
            error=None if self.refusal is None else self.refusal.code,
            trace=self.call.trace,
            queue_ns=0 if run is None else run.started_ns - self.started_ns,
            compute_ns=0 if run is None else run.compute_ns,
            encode_ns=self.encode_ns,
            total_ns=self.elapsed_ns,
        )

    def _answer_with(self, run: Run) -> None:
        served, request = self.served, self.request
        assert served is not None
        assert request is not None
        assert self.lane is not None
        values = dict(zip(served.runner.outputs, run.values, strict=True))
        if served.outputs is not None and not served.outputs.is_clean(values):
            broken = self.judge(served.outputs.check(values))
            if broken.rejected:
                self.run = run
                self.refuse(withhold_for(broken.rejected, broken.rejected_total), Outcome.FAILED)
                return
        outputs = {output.name: values[output.name] for output in request.outputs}
        parameters: dict[str, Parameter] = {"record_id": self.record_id, "lane": self.lane}
        if self.violations is not Violations.NONE:
            parameters |= parameters_for_answer(self.violations)
        self.encoded = encode_response(
            model=served.model,
            version=str(served.number),
            id=request.id,
            parameters=parameters,
            outputs=outputs,
            requested=request.outputs,
        )
        self.run, self.values, self.outputs = run, values, outputs
        self.outcome = Outcome.ANSWERED
