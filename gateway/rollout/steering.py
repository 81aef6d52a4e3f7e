"""The controller's part of rollouts: judges each every second, and does what follows.

What is done follows from the store alone: a controller that starts anew goes on where the one
before it was.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from gateway.logs import logger
from gateway.rollout.reading import Assessor, Truth
from gateway.rollout.words import why_undecided, why_worse
from registry import promoting, rolling_out
from registry.errors import RegistryError, RolloutOver
from registry.names import MAX_REASON
from registry.promotion_case import promotion_policy
from registry.promotion_evidence import TruthScore
from registry.recording import Author
from registry.registry import Clock, Registry
from registry.rollouts import Finish, Phase, Rollout, Verdict
from registry.times import now

_EVERY_S = 1.0
# How soon it is tried again to promote, or to ask for it, where something holds that.
_FINISH_AGAIN_S = 30.0
_PASSED = "every stage of its rollout is passed"

# Scores the challenger of a rollout against ground truth; None while that is still being done.
Scores = Callable[[Rollout], Sequence[TruthScore] | None]


def no_scores(rollout: Rollout) -> Sequence[TruthScore]:
    """Say that nothing was scored against ground truth."""
    return ()


class Steering:
    """Advances, promotes, rolls back and expires rollouts, as their evidence says.

    `scores` is asked where a promotion policy has metrics of ground truth. `is_read` says whether
    guards know their ground truth yet: before that no rollout is finished.
    """

    def __init__(
        self,
        registry: Registry,
        author: Author,
        truth: Truth | None = None,
        clock: Clock = now,
        *,
        scores: Scores = no_scores,
        is_read: Callable[[Rollout], bool] = lambda _: True,
    ) -> None:
        self._registry = registry
        self._author = author
        self._scores = scores
        self._is_read = is_read
        self._clock = clock
        self._assessor = Assessor(registry, truth)
        self._next = 0.0
        self._finish_again: dict[str, float] = {}

    def run(self) -> None:
        """Steer what is open, if a second has passed since the last time. Raises RegistryError.

        A rollout that cannot be steered keeps no other from it.
        """
        started = time.monotonic()
        if started < self._next:
            return
        self._next = started + _EVERY_S
        rollouts = self._registry.store.open_rollouts()
        self._keep_only(rollouts)
        for rollout in rollouts:
            try:
                self.steer(rollout, self._clock())
            except RolloutOver as error:  # somebody ended it while it was judged
                logger.info("rollout_ended_meanwhile", rollout=rollout.id, detail=str(error))
            except Exception as error:  # noqa: BLE001 - the end of this one's turn, and of no other
                logger.error("rollout_not_steered", rollout=rollout.id, exc_info=error)

    def steer(self, rollout: Rollout, at: datetime) -> None:
        """Do what follows from the evidence of one rollout. Raises RegistryError.

        Of one that is paused nothing new is to be learned: it can only expire.
        """
        assessment = self._assessor.assess(rollout, at)
        is_judged = not rollout.is_paused
        if is_judged and assessment.verdict is Verdict.WORSE:
            reason = why_worse(assessment)[:MAX_REASON]
            rolling_out.roll_back(
                self._registry, rollout.id, reason, self._author, assessment=assessment
            )
        elif (at - rollout.started).total_seconds() >= rollout.plan.max_s:
            reason = f"no decision in {rollout.plan.max_s:,.0f} s; {why_undecided(assessment)}"
            rolling_out.expire(
                self._registry, rollout.id, reason[:MAX_REASON], self._author, assessment=assessment
            )
        elif is_judged and rollout.phase is Phase.PASSED:
            if self._is_read(rollout):
                self._finish(rollout)
        elif is_judged and assessment.verdict is Verdict.NON_INFERIOR:
            rolling_out.advance(self._registry, rollout.id, assessment, self._author)

    def trip_canaries(self, workers: Iterable[str]) -> None:
        """Roll back every challenger that answers callers, for workers that crashed meanwhile.

        Which of them it was, if any, nobody can tell. Raises RegistryError.
        """
        names = ", ".join(sorted(workers))
        for rollout in self._registry.store.open_rollouts():
            if rollout.points:
                reason = f"a worker ended without having been told to: {names}"
                rolling_out.trip(self._registry, rollout.id, reason[:MAX_REASON], self._author)

    def _finish(self, rollout: Rollout) -> None:
        """Promote what has passed every stage, or ask somebody to, as plan and policy say."""
        if time.monotonic() < self._finish_again.get(rollout.id, 0.0):
            return
        try:
            is_done = self._promote_or_ask(rollout)
        except RegistryError as error:
            is_done = True
            if rollout.id not in self._finish_again:
                logger.warning("rollout_not_finished", rollout=rollout.id, detail=str(error))
        if is_done:
            self._finish_again[rollout.id] = time.monotonic() + _FINISH_AGAIN_S

    def _promote_or_ask(self, rollout: Rollout) -> bool:
        """Do what plan and policy say; return False while ground truth is being read for it.

        A promotion is asked for once: what people decide then is theirs.
        """
        policy = promotion_policy(self._registry.store, rollout.model)
        is_alone = rollout.plan.finish is Finish.PROMOTE and not policy.second_person
        if not is_alone and self._was_asked(rollout):
            return True
        scores = self._scores(rollout) if policy.truth else ()
        if scores is None:
            return False
        if is_alone:
            rolling_out.finish_promoted(
                self._registry, rollout.id, _PASSED, self._author, scores=scores
            )
        else:
            promoting.ask_for_rollout(self._registry, rollout.id, _PASSED, scores=scores)
        return True

    def _was_asked(self, rollout: Rollout) -> bool:
        shown = (one.evidence.rollout for one in self._registry.store.promotions(rollout.model))
        return any(one is not None and one.rollout == rollout.id for one in shown)

    def _keep_only(self, rollouts: Sequence[Rollout]) -> None:
        """Forget what is known of rollouts that are over."""
        self._assessor.keep_only(rollouts)
        present = {one.id for one in rollouts}
        self._finish_again = {
            rollout: again for rollout, again in self._finish_again.items() if rollout in present
        }
