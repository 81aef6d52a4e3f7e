"""Who would have met the challenger of a plan, and what the guards would have seen of it."""

from collections.abc import Mapping

from gateway.errors import SHED, InputNotAccepted
from gateway.plan_rehearsal.course import Met
from gateway.plan_rehearsal.recorded import Request
from gateway.rehearsal import done_effects
from gateway.rollout.evidence import Facts
from gateway.routing import point
from gateway.shadow.challenger import Challenger, Finished
from gateway.shadow.facts import Sights
from gateway.shadow.sender import ITS_OWN_FAULTS, is_shadowed
from gateway.shadow.wire import Shadowed
from registry.records import AuditRecord, Outcome
from registry.rollouts import Rollout

_REFUSALS = ("rejected ", "would-reject ")


class Lanes:
    """Parts recorded requests among champion and challenger, and runs the challenger on its part.

    What the champion answered is taken from the records.
    """

    def __init__(self, challenger: Challenger) -> None:
        served = challenger.served
        self._challenger = challenger
        self._sights = Sights(challenger.rollout.plan, served.signature, served.reference)

    @property
    def bins(self) -> Mapping[int, int]:
        """How many bins each guard of a shift has, by its index in the plan."""
        return self._sights.bins

    def meet(self, request: Request, rollout: Rollout) -> Met:
        """Say what a request shows in the present stage of a rollout; one that was shed nothing."""
        if request.record.error in SHED:
            return Met()
        if rollout.is_shadow:
            return self._shadow(request, rollout)
        if 0 <= point(rollout.salt, request.key) - rollout.base < rollout.points:
            return self._canary(request)
        return Met((self._champion(request),))

    def _shadow(self, request: Request, rollout: Rollout) -> Met:
        record = request.record
        was_run = record.outcome is Outcome.ANSWERED or record.error in ITS_OWN_FAULTS
        if not was_run or not is_shadowed(rollout, record.id):
            return Met()
        finished = self._run(request, is_compared=True)
        sights = self._sights
        return Met((sights.of_champion(finished), sights.of_challenger(finished)), was_run=True)

    def _canary(self, request: Request) -> Met:
        case = self._run(request, is_compared=False).case
        if case.outcome is Outcome.ANSWERED:
            facts = self._sights.of_lane(case.values, is_challenger=True, refused=case.would_refuse)
            return Met((facts,), was_run=True, is_answered=True)
        if not case.has_failed:
            return Met((Facts(is_challenger=True, refused=case.would_refuse),), was_run=True)
        is_shared = _has_failed(request.record)
        code = None if is_shared or case.refusal is None else case.refusal.code
        return Met((Facts(is_challenger=True, failed=True),), was_run=True, fault=code)

    def _champion(self, request: Request) -> Facts:
        record, refused = request.record, _would_refuse(request.record)
        if record.outcome is Outcome.ANSWERED:
            outputs = request.kept.outputs
            return self._sights.of_lane(outputs, is_challenger=False, refused=refused)
        failed = _has_failed(record)
        return Facts(is_challenger=False, failed=failed, refused=refused and not failed)

    def _run(self, request: Request, *, is_compared: bool) -> Finished:
        """Run the challenger as its shadow does, beside the recorded answer or by itself."""
        record, payload = request.record, request.payload
        assert payload.input is not None
        is_answered = is_compared and record.outcome is Outcome.ANSWERED
        return self._challenger.answer(
            Shadowed(
                rollout=self._challenger.rollout.id,
                record_id=record.id,
                key_id=record.principal or "",
                request_id=record.request_id,
                subject=None,
                rows=record.rows or 1,
                inputs=payload.input,
                outputs=payload.output if is_answered else None,
                latency_us=0,
                segment=None,
            )
        )


def _has_failed(record: AuditRecord) -> bool:
    return record.outcome is Outcome.FAILED or record.error == InputNotAccepted.slug


def _would_refuse(record: AuditRecord) -> bool:
    return any(effect.startswith(_REFUSALS) for effect in done_effects(record))
