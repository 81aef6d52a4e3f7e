"""Ground truth for the controller, which waits for none of it: it is read in a process apart, and
what was found is taken in a later round.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from msgspec import Struct

from gateway.logs import logger
from gateway.truth.errands import Errand, Errands
from gateway.truth.known import Stage
from registry.promotion_evidence import TruthScore
from registry.rollouts import GuardKind, Rollout, TruthEvidence

# How soon after a reading the next one of the same may begin.
_AGAIN_S = 10.0
# Scores that nobody took for so long are of a time that is over.
_FRESH_S = 60.0


class Source(Protocol):
    """Reads ground truth, however long that takes; called in a thread."""

    def evidence(self, rollout: Rollout, at: datetime) -> Mapping[int, TruthEvidence]:
        """Return what is known for each guard of ground truth. Raises RegistryError."""
        ...

    def scores(self, model: str, version: int) -> Sequence[TruthScore]:
        """Score a version by what has matured. Raises RegistryError."""
        ...


class _Known(Struct, frozen=True):
    """What was last found of a stage, None where nothing could be read yet, and when it may be read
    again.
    """

    found: Mapping[int, TruthEvidence] | None
    again: float


class DeferredTruth:
    """Tells what was found when it was last read, and has it read anew. Called by one thread.

    Where there are many labels what is known is older, by four times as long as reading them takes.
    `show` is given all that is known whenever something was read for guards.
    """

    def __init__(
        self,
        source: Source,
        show: Callable[[Mapping[Stage, Mapping[int, TruthEvidence]]], None] = lambda _: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._show = show
        self._timer = timer
        self._errands = Errands(timer)
        self._known: dict[Stage, _Known] = {}

    def evidence(self, rollout: Rollout, at: datetime) -> Mapping[int, TruthEvidence]:
        """Return what is known of the present stage; nothing before it was read for once."""
        if not _has_guard(rollout):
            return {}
        stage = (rollout.id, rollout.stage)
        known = self._known.get(stage)
        if known is None or self._timer() >= known.again:
            key = (rollout.id, f"evidence of stage {rollout.stage}")
            errand = self._errands.ask(key, partial(self._source.evidence, rollout, at))
            if errand is not None:
                found = _found(rollout, errand, None if known is None else known.found)
                known = self._known[stage] = _Known(found, self._timer() + _AGAIN_S)
                self._show({stage: one.found or {} for stage, one in self._known.items()})
        return (None if known is None else known.found) or {}

    def is_read(self, rollout: Rollout) -> bool:
        """Say whether what guards of the present stage are told has been read once."""
        known = self._known.get((rollout.id, rollout.stage))
        return not _has_guard(rollout) or (known is not None and known.found is not None)

    def scores(self, rollout: Rollout) -> Sequence[TruthScore] | None:
        """Return the scores of the challenger, read in the last minute; None until they are.

        Asked again after that, they are read again. Raises RegistryError.
        """
        key, version = (rollout.id, "scores"), rollout.plan.challenger
        read = partial(self._source.scores, rollout.model, version)
        errand = self._errands.ask(key, read)
        if errand is not None and errand.age_s(self._timer()) > _FRESH_S:
            errand = self._errands.ask(key, read)
        if errand is None:
            return None
        scores: Sequence[TruthScore] = errand.take()
        return scores

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        """Forget what was read of other rollouts, and of stages that are over."""
        present = {(one.id, one.stage) for one in rollouts}
        self._known = {key: one for key, one in self._known.items() if key in present}
        self._errands.keep_only({rollout for rollout, _ in present})


def _has_guard(rollout: Rollout) -> bool:
    return any(guard.kind is GuardKind.TRUTH for guard in rollout.plan.guards)


def _found(
    rollout: Rollout, errand: Errand, before: Mapping[int, TruthEvidence] | None
) -> Mapping[int, TruthEvidence] | None:
    """Return what a reading brought; where it failed, what was known before."""
    if errand.error is not None:
        logger.warning("ground_truth_not_read", rollout=rollout.id, detail=str(errand.error))
        return before
    found: Mapping[int, TruthEvidence] = errand.result
    return found
