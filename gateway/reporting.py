"""Tells of calls whoever is to know: metrics, tracers, spans, the log, and the counts of values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.canaries import Canaries
from gateway.cases import Case
from gateway.contract import RefusalCap, Violations
from gateway.logs import logger
from gateway.metrics import Metrics, Series, Suspension
from gateway.monitor.rows import MOST_ROWS
from gateway.observation import Observation, take_rows
from gateway.roster import Roster, ServedVersion
from registry.records import Lane, Outcome
from registry.rollouts import Rollout
from registry.tensors import Tensor

if TYPE_CHECKING:
    from gateway.spans import Spans  # needs what only the extra `otel` installs


# Takes a case whose caller has its reply, and the rollouts in shadow of each model.
NoteForShadows = Callable[[Case, Mapping[str, Sequence[Rollout]]], None]


class RanTogether(Struct, frozen=True):
    """Cases of one version that ran as one batch, and the inputs of all of them joined.

    `lane` is that of the first. `outputs` are the batch's as the runner names them, None where each
    case ran by itself.
    """

    served: ServedVersion
    lane: Lane | None
    cases: Sequence[Case]
    inputs: Mapping[str, Tensor]
    outputs: Sequence[Tensor] | None


class Reporter:
    """Tells of the cases of one worker; called on the event loop."""

    def __init__(
        self,
        *,
        roster: Callable[[], Roster],
        metrics: Metrics,
        canaries: Canaries,
        observation: Observation | None = None,
        spans: "Spans | None" = None,
        note_for_shadows: NoteForShadows = lambda *_: None,
    ) -> None:
        self._roster = roster
        self._metrics = metrics
        self._canaries = canaries
        self._observation = observation
        self._spans = spans
        self._note_for_shadows = note_for_shadows
        metrics.read_suspensions(lambda: list(_suspensions(roster())))

    def count_values(self, ran: RanTogether) -> None:
        """Count the values of what was answered: as one where all of a batch was, and in one lane.

        Joined rows cost less to count, and let go of the bodies they came in. Requests of many rows
        are counted one by one.
        """
        if self._observation is None:
            return
        served, lane, cases = ran.served, ran.lane, ran.cases
        if (
            lane is not None
            and ran.outputs is not None
            and all(
                case.lane is lane and case.ran_as_sent and case.runnable.rows <= MOST_ROWS
                for case in cases
            )
        ):
            self._observation.note(
                served,
                lane,
                ran.inputs,
                dict(zip(served.runner.outputs, ran.outputs, strict=True)),
                rows=sum(case.runnable.rows for case in cases),
                size=sum(len(case.call.body) for case in cases),
            )
        else:
            for case in cases:
                if case.served is served:  # else the champion has answered it since
                    self.count_values_of(case)

    def count_values_of(self, case: Case) -> None:
        """Count the values of one case, if it was answered."""
        served, lane, request = case.served, case.lane, case.request
        if (
            self._observation is not None
            and case.outcome is Outcome.ANSWERED
            and served is not None
            and lane is not None
            and request is not None
        ):
            inputs: Mapping[str, Tensor] = request.tensors
            outputs, rows, size = case.values, request.rows, len(case.call.body)
            if rows > MOST_ROWS:
                inputs, outputs = take_rows(inputs, rows), take_rows(outputs, rows)
                size, rows = size * MOST_ROWS // rows, MOST_ROWS
            self._observation.note(served, lane, inputs, outputs, rows=rows, size=size)

    def count_refusal(self, case: Case, served: ServedVersion, cap: RefusalCap) -> None:
        """Count a request that the contract judged, and tell where that changes what rules do."""
        if case.request is None or not cap.count(
            case.started_ns / 1e9, is_refused=case.would_refuse
        ):
            return
        if cap.is_suspended:
            self._series(case).suspended()
        logger.critical(
            "contract_suspended" if cap.is_suspended else "contract_resumed",
            model=served.model,
            version=served.number,
            requests=cap.requests,
            refused=cap.refused,
        )

    def fail(self, case: Case, slug: str) -> None:
        """Tell of a case that has no record, and so neither answer nor denial."""
        self._series(case).fail(slug, case.elapsed_ns)

    def tell(self, case: Case) -> None:
        """Tell of a case whose caller has its reply."""
        series, run, request = self._series(case), case.run, case.request
        if case.violations is not Violations.NONE:
            series.broke(case.violations.effects())
        if case.refusal is not None:
            series.fail(case.refusal.code, case.elapsed_ns)
        elif run is not None and request is not None:
            series.observe(
                latency_ns=case.elapsed_ns,
                queue_ns=run.started_ns - case.started_ns,
                compute_ns=run.compute_ns,
                encode_ns=case.encode_ns,
                rows=request.rows,
            )
        if run is not None and run.requests:
            # A single row that ran beside a copy of itself is one row.
            rows = request.rows if run.requests == 1 and request is not None else run.batch
            self._metrics.batch(series, run.requests, rows, run.compute_ns)
        if case.canaries:
            self._tell_of_canary(case)
        self._tell_others(case)

    def _tell_others(self, case: Case) -> None:
        """Tell whoever wants to know of this case now."""
        roster = self._roster()
        if roster.shadows:
            self._note_for_shadows(case, roster.shadows)
        if roster.tracers is not None:
            roster.tracers.note(case.times())
        if self._spans is not None:
            self._spans.note(case.times())

    def _tell_of_canary(self, case: Case) -> None:
        canary = case.canary
        if canary is not None and case.canary_error is not None:
            challenger = canary.challenger
            series = self._metrics.series(challenger.model, challenger.number, Lane.CANARY)
            series.gave_way(case.canary_error)
        self._canaries.note(case)

    def _series(self, case: Case) -> Series:
        served, lane = case.served, case.lane
        if served is None or lane is None:
            return self._metrics.unmet
        return self._metrics.series(served.model, served.number, lane)


def _suspensions(roster: Roster) -> Iterator[Suspension]:
    """Tell of the versions whose rules do not reject now, since they would refuse too much."""
    for model in roster.models.values():
        for served in model.versions.values():
            cap = served.enforcement.cap
            if cap is not None and cap.is_suspended:
                yield Suspension(
                    model=served.model,
                    version=served.number,
                    requests=cap.requests,
                    refused=cap.refused,
                )
