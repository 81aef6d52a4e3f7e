"""What guards on means say: on scores, and on metrics of ground truth. Pure."""

from collections.abc import Sequence

from gateway.rollout.evidence import Section
from gateway.rollout.levels import Levels
from gateway.rollout.means import read_means
from gateway.rollout.sequential import (
    LEAST_BLOCKS,
    LEAST_UNPAIRED,
    Estimate,
    estimate,
    half_width,
    variance_of_mean,
)
from registry.rollouts import Better, Guard, Judgement, TruthEvidence, Verdict


def judge_score(
    section: Section, counts: Sequence[int], levels: Levels, *, is_paired: bool
) -> Judgement:
    means, margin = read_means(counts, section.start), section.guard.margin
    found = estimate(means, is_paired=is_paired)
    if found is not None:  # counted in margins
        found = Estimate(
            mean=found.mean * margin,
            variance=found.variance * margin * margin,
            challenger=found.challenger,
        )
    totals = (means.challenger, means.champion)
    is_early = means.scales[0].blocks < LEAST_UNPAIRED
    return _judge_mean(section.guard, found, totals, levels, is_early=is_early)


def judge_truth(guard: Guard, truth: TruthEvidence | None, levels: Levels) -> Judgement:
    """Judge by the mean of a metric, from the blocks in which labels were compared."""
    if truth is None:
        return _judge_mean(guard, None, (0, 0), levels)
    found = None
    if truth.blocks >= LEAST_BLOCKS:
        variance = variance_of_mean(truth.blocks, truth.sum, truth.squares)
        found = Estimate(
            mean=truth.sum / truth.blocks, variance=variance, challenger=truth.challenger
        )
    return _judge_mean(guard, found, (truth.challenger, truth.champion), levels)


def _judge_mean(
    guard: Guard,
    found: Estimate | None,
    totals: tuple[int, int],
    levels: Levels,
    *,
    is_early: bool = False,
) -> Judgement:
    """Judge by the interval of a difference of means; early it can only be worse."""
    verdict, low, high = Verdict.UNDECIDED, None, None
    if found is not None:
        low, high = _interval(guard.better, found, levels)
        if not is_early and _is_fine(guard, low, high):
            verdict = Verdict.NON_INFERIOR
        elif _is_worse(guard.better, low, high):
            verdict = Verdict.WORSE
    return Judgement(
        guard=guard, verdict=verdict, challenger=totals[0], champion=totals[1], low=low, high=high
    )


def _interval(better: Better, found: Estimate, levels: Levels) -> tuple[float, float]:
    """Return both ends, each at the error rate of what it shows."""
    match better:
        case Better.HIGHER:
            below, above = levels.fine, levels.worse
        case Better.LOWER:
            below, above = levels.worse, levels.fine
        case Better.EQUAL:
            below = above = levels.worse / 2
    return found.mean - half_width(found, below), found.mean + half_width(found, above)


def _is_fine(guard: Guard, low: float, high: float) -> bool:
    is_enough, is_no_more = low > -guard.margin, high < guard.margin
    match guard.better:
        case Better.HIGHER:
            return is_enough
        case Better.LOWER:
            return is_no_more
        case Better.EQUAL:
            return is_enough and is_no_more


def _is_worse(better: Better, low: float, high: float) -> bool:
    match better:
        case Better.HIGHER:
            return high < 0
        case Better.LOWER:
            return low > 0
        case Better.EQUAL:
            return high < 0 or low > 0
