"""What metrics tell of open rollouts. Read when metrics are, and kept for some seconds."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from gateway.metrics.rollouts import GuardState, RolloutState
from gateway.rollout.reading import Assessor, Truth
from gateway.rollout.words import guard_name
from registry.registry import Registry
from registry.rollouts import Judgement, Rollout, Verdict
from registry.times import now

_KEPT_S = 2.0
_AS_NUMBER = {Verdict.WORSE: -1, Verdict.UNDECIDED: 0, Verdict.NON_INFERIOR: 1}


class RolloutGauges:
    """Reads the state of all open rollouts; any thread may ask."""

    def __init__(
        self,
        registry: Registry,
        truth: Truth | None = None,
        clock: Callable[[], datetime] = now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = registry.store
        self._assessor = Assessor(registry, truth)
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._due = 0.0
        self._states: tuple[RolloutState, ...] = ()

    def read(self) -> tuple[RolloutState, ...]:
        """Return the state of each open rollout. Raises RegistryError."""
        with self._lock:
            if self._timer() >= self._due:
                rollouts = self._store.open_rollouts()
                self._assessor.keep_only(rollouts)
                self._states = tuple(map(self._state, rollouts))
                self._due = self._timer() + _KEPT_S
            return self._states

    def _state(self, rollout: Rollout) -> RolloutState:
        assessment = self._assessor.assess(rollout, self._clock())
        return RolloutState(
            model=rollout.model,
            version=rollout.plan.challenger,
            phase=rollout.phase.value,
            stage=rollout.stage,
            points=rollout.points + rollout.shadow_points,
            requests=assessment.requests,
            guards=tuple(map(_guard_state, assessment.judgements)),
        )


def _guard_state(judgement: Judgement) -> GuardState:
    return GuardState(
        name=guard_name(judgement.guard),
        verdict=_AS_NUMBER[judgement.verdict],
        worse=judgement.evidence_worse,
        fine=judgement.evidence_fine,
    )
