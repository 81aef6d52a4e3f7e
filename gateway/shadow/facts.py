"""What the guards of a plan see of requests that both versions had, or one of them."""

from collections.abc import Mapping, Sequence

from gateway.canaries import Column, shift_bins
from gateway.rollout.evidence import Facts
from gateway.shadow.challenger import Finished
from registry.distribution import Reference
from registry.manifest import Signature
from registry.records import Outcome
from registry.rollouts import GuardKind, Plan
from registry.tensors import Tensor


class Sights:
    """What the guards of one plan look at, in its order."""

    def __init__(self, plan: Plan, signature: Signature, reference: Reference | None) -> None:
        bins = shift_bins(plan, reference)
        self.bins = {index: found.count for index, found in bins.items()}
        self._scores = [
            Column(guard, signature) for guard in plan.guards if guard.kind is GuardKind.SCORE
        ]
        self._shifts = [
            (Column(plan.guards[index], signature), found) for index, found in bins.items()
        ]

    def of_champion(self, finished: Finished) -> Facts:
        """Return the live answer as evidence."""
        live = finished.live
        return Facts(
            is_challenger=False,
            failed=live is None,
            latency_us=finished.shadowed.latency_us,
            bins=self._bins(live) if live else (),
        )

    def of_challenger(self, finished: Finished) -> Facts:
        """Return the challenger's answer as evidence, its scores less those of the live one."""
        case, live = finished.case, finished.live
        if not finished.is_answered:
            is_failure = finished.failure is not None
            is_refusal = not is_failure and case.outcome is Outcome.REFUSED
            return Facts(is_challenger=True, failed=is_failure, refused=is_refusal)
        return Facts(
            is_challenger=True,
            scores=() if live is None else self._differences(case.values, live),
            bins=self._bins(case.values),
            differs=tuple(
                one.differs for one in finished.differences[: finished.challenger.guards]
            ),
        )

    def of_lane(
        self, outputs: Mapping[str, Tensor], *, is_challenger: bool, refused: bool
    ) -> Facts:
        """Return an answer as evidence of a stage in which each version answers callers."""
        return Facts(
            is_challenger,
            refused=refused,
            scores=tuple(column.mean(outputs) for column in self._scores),
            bins=self._bins(outputs),
        )

    def _differences(
        self, found: Mapping[str, Tensor], live: Mapping[str, Tensor]
    ) -> tuple[float | None, ...]:
        pairs = ((column.mean(found), column.mean(live)) for column in self._scores)
        return tuple(None if mine is None or its is None else mine - its for mine, its in pairs)

    def _bins(self, outputs: Mapping[str, Tensor]) -> tuple[Sequence[int], ...]:
        return tuple(column.bins(outputs, bins) for column, bins in self._shifts)
