"""How far the evidence of a guard has come towards what it takes to say one thing or the other."""

from math import log

from msgspec import Struct

from gateway.rollout.levels import Levels
from registry.rollouts import Better, Judgement


class Progress(Struct, frozen=True):
    """Shares of the way to `worse` and to `non_inferior`, from 0 to 1, where it is said.

    None where it is too early for any evidence.
    """

    worse: float | None
    fine: float | None


def progress(judgement: Judgement, levels: Levels) -> Progress:
    """Measure evidence against its thresholds.

    Of an e-value it is the share of the logarithm that it takes. Of a mean it is how much of its
    distance from what has to be ruled out is left of the interval: 1 where the end touches it.
    """
    if judgement.low is not None and judgement.high is not None:
        return _of_interval(judgement, judgement.low, judgement.high)
    return Progress(
        worse=_share(judgement.evidence_worse, -log(levels.worse)),
        fine=_share(judgement.evidence_fine, -log(levels.fine)),
    )


def _of_interval(judgement: Judgement, low: float, high: float) -> Progress:
    mean, margin = (low + high) / 2, judgement.guard.margin
    below, above = mean - low, high - mean
    is_enough, is_no_more = _reach(mean + margin, below), _reach(margin - mean, above)
    is_less, is_more = _reach(-mean, above), _reach(mean, below)
    match judgement.guard.better:
        case Better.HIGHER:
            return Progress(worse=is_less, fine=is_enough)
        case Better.LOWER:
            return Progress(worse=is_more, fine=is_no_more)
        case Better.EQUAL:
            return Progress(worse=max(is_less, is_more), fine=min(is_enough, is_no_more))


def _reach(distance: float, width: float) -> float:
    """Say how much of an interval's half is as short as its distance from a limit."""
    if distance <= 0:
        return 0.0
    return min(1.0, distance / width) if width > 0 else 1.0


def _share(evidence: float | None, needed: float) -> float | None:
    return None if evidence is None else max(0.0, min(1.0, evidence / needed))
