"""What is kept of one rollout: sums for people, and evidence for the verdict."""

from gateway.monitor.layout import to_bytes
from gateway.rollout.evidence import Layout, Tally
from gateway.shadow.challenger import Challenger, Finished
from gateway.shadow.comparing import Criterion, Difference
from gateway.shadow.facts import Sights
from gateway.shadow.state import OutputSums, ShadowSums, Worst, count
from registry.rollouts import Rollout
from registry.times import now, to_us
from registry.windows import LaneCounts

_STAGE = 0  # the shadow is the first


class Book:
    """Counts what was recorded of one rollout."""

    def __init__(self, rollout: Rollout, before: ShadowSums | None) -> None:
        """Go on from the sums of before; evidence begins anew, since it is added up elsewhere."""
        self.sums = before or ShadowSums(
            rollout=rollout.id,
            model=rollout.model,
            champion=rollout.champion,
            challenger=rollout.plan.challenger,
        )
        self._counted: _Counted | None = None

    def add(self, finished: Finished) -> None:
        """Count one request whose record is durable."""
        challenger = finished.challenger
        if self._counted is None:
            self._counted = _Counted(challenger)
            self._fit(challenger.criteria)
        self._counted.add(finished)
        sums, segment = self.sums, self.sums.segment(finished.shadowed.segment)
        if finished.failure is not None:
            count(sums.failures, finished.failure)
            segment.failed += 1
        elif not finished.is_answered:
            sums.refused += 1
        elif finished.live is not None:
            does_differ = any(one.differs for one in finished.differences)
            sums.compared += 1
            segment.requests += 1
            sums.differing += does_differ
            segment.differing += does_differ
            for output, difference in zip(sums.outputs, finished.differences, strict=True):
                _add(output, difference, finished)

    def shed(self, reason: str) -> None:
        count(self.sums.sheds, reason)

    def stand(self, waiting: int) -> ShadowSums:
        """Return the sums as they are now."""
        self.sums.waiting, self.sums.at_us = waiting, to_us(now())
        return self.sums

    def evidence(self) -> LaneCounts | None:
        """Return what was counted as evidence since the process began; None where nothing was."""
        return None if self._counted is None else self._counted.lane()

    def _fit(self, criteria: tuple[Criterion, ...]) -> None:
        """Begin outputs anew if they were compared in another way before."""
        wanted = [
            OutputSums(output=one.output, column=one.column, by=one.by, tolerance=one.tolerance)
            for one in criteria
        ]
        if [_name(one) for one in self.sums.outputs] != [_name(one) for one in wanted]:
            self.sums.outputs = wanted


class _Counted:
    """The evidence of one challenger."""

    def __init__(self, challenger: Challenger) -> None:
        # Not the version itself, which would hold its model in memory.
        rollout, served = challenger.rollout, challenger.served
        self._model, self._version, self._manifest = served.model, served.number, served.manifest
        self._lane = rollout.evidence_lane(_STAGE)
        self._sights = Sights(rollout.plan, served.signature, served.reference)
        layout = Layout.of(rollout.plan, _STAGE, self._sights.bins)
        self._tally = Tally(layout, rollout.edges_us)

    def add(self, finished: Finished) -> None:
        self._tally.add(self._sights.of_champion(finished))
        self._tally.add(self._sights.of_challenger(finished))

    def lane(self) -> LaneCounts:
        counts = to_bytes(self._tally.counts)
        return LaneCounts(self._model, self._version, self._lane, self._manifest, counts)


def _add(output: OutputSums, difference: Difference, finished: Finished) -> None:
    output.rows += difference.rows
    output.agreeing += difference.agreeing
    output.measured += difference.measured
    output.distance += difference.distance
    output.greatest = max(output.greatest, difference.greatest)
    if difference.worst is not None:
        output.keep(
            Worst(
                record_id=finished.shadowed.record_id,
                shadow_record_id=finished.case.record_id,
                row=difference.worst,
                distance=difference.worst_distance,
                segment=finished.shadowed.segment,
            )
        )


def _name(sums: OutputSums) -> tuple[str, int | None, str, float | None]:
    return sums.output, sums.column, sums.by, sums.tolerance
