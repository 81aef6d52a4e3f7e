"""What the guards of a rollout say of its challenger, by all that was counted. Pure.

A guard says `non_inferior` where it is shown that the challenger is not worse than the champion by
more than is allowed, else `worse` where it is shown that it is worse at all: what is allowed is no
reason to roll back. A challenger which is not worse is ever rolled back with a chance of at most
the plan's alpha, which all guards of all stages share. A stage is passed when every guard has shown
as much, so those tests need no correction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import log

from msgspec import Struct

from gateway.rollout.evidence import Layout, Section
from gateway.rollout.means import read_means
from gateway.rollout.pairs import read_pairs
from gateway.rollout.rates import Event, read_rates
from gateway.rollout.scatter import Scatter
from gateway.rollout.sequential import (
    LEAST_BLOCKS,
    LEAST_UNPAIRED,
    Estimate,
    estimate,
    half_width,
    is_settled,
    log_e_fewer,
    log_e_fine,
    log_e_more,
    log_e_rare,
    log_e_worse,
    log_mean_exp,
    pair_dispersion,
    rate_dispersion,
    variance_of_mean,
)
from gateway.rollout.shifts import log_e_shifted, log_e_similar
from registry.rollouts import (
    Assessment,
    Better,
    Guard,
    GuardKind,
    Judgement,
    Plan,
    Rollout,
    TruthEvidence,
    Verdict,
)

# Bursts are skewed, which dividing by their dispersion does not quite mend: only this part of alpha
# is spent where a challenger would be promoted that has not met them yet.
_PART_FOR_FINE = 0.4
# Of requests failed or refused so few are no reason to wait, however few the champion has.
_NEGLIGIBLE = 0.005


class Levels(Struct, frozen=True):
    """The error rates of a guard: of saying `worse`, and of saying `non_inferior`."""

    worse: float
    fine: float

    @classmethod
    def of(cls, plan: Plan) -> "Levels":
        """Share the plan's alpha among all guards in all stages in which they judge."""
        tests = sum(
            guard.judges(is_shadow=plan.shadow is not None and stage == 0)
            for stage in range(len(plan.stages))
            for guard in plan.guards
        )
        return cls(worse=plan.alpha / max(1, tests), fine=plan.alpha * _PART_FOR_FINE)


class _Evidence(Struct, frozen=True):
    """What e-values of a guard are, as logarithms; None where it is too early for them."""

    worse: float | None
    fine: float | None
    dispersion: float


def assess(
    rollout: Rollout,
    layout: Layout,
    counts: Sequence[int],
    truth: Mapping[int, TruthEvidence],
    at: datetime,
) -> Assessment:
    """Say what all that was counted of the present stage shows, with what ground truth shows.

    `counts` are in the cells of `layout`; `truth` is by the index of a guard in the plan.
    """
    judgements = tuple(_judge_all(rollout.plan, layout, counts, truth))
    return conclude(rollout, judgements, counts[1], at)


def conclude(
    rollout: Rollout, judgements: tuple[Judgement, ...], requests: int, at: datetime
) -> Assessment:
    """Say what guards amount to together, after so many requests of the challenger."""
    said = {one.verdict for one in judgements}
    step, lasted = rollout.plan.stages[rollout.stage], at - rollout.entered
    is_enough = requests >= step.min_requests and lasted.total_seconds() >= step.min_s
    verdict = Verdict.UNDECIDED
    if Verdict.WORSE in said:
        verdict = Verdict.WORSE
    elif is_enough and said == {Verdict.NON_INFERIOR}:
        verdict = Verdict.NON_INFERIOR
    return Assessment(
        at=at, stage=rollout.stage, verdict=verdict, requests=requests, judgements=judgements
    )


def _judge_all(
    plan: Plan, layout: Layout, counts: Sequence[int], truth: Mapping[int, TruthEvidence]
) -> Iterator[Judgement]:
    """Judge by each guard that has a say in the stage, in the order of the plan."""
    levels = Levels.of(plan)
    sections = {section.index: section for section in layout.sections}
    for index, guard in enumerate(plan.guards):
        if not guard.judges(is_shadow=layout.is_shadow):
            continue
        if guard.kind is GuardKind.TRUTH:
            yield judge_truth(guard, truth.get(index), levels)
        elif index in sections:
            yield judge(sections[index], counts, levels, is_shadow=layout.is_shadow)
        else:  # a distribution that has no bins
            yield Judgement(guard=guard, verdict=Verdict.UNDECIDED, challenger=0, champion=0)


def judge(section: Section, counts: Sequence[int], levels: Levels, *, is_shadow: bool) -> Judgement:
    """Judge by one guard that something is counted for."""
    match section.guard.kind:
        case GuardKind.SCORE:
            return _judge_score(section, counts, levels, is_paired=is_shadow)
        case GuardKind.AGREEMENT:
            return _judge_pairs(section, counts, levels)
        case GuardKind.SHIFT:
            return _judge_shift(section, counts, levels)
        case _:
            return _judge_rate(section, counts, levels)


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


def _judge_rate(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
    rates = read_rates(counts, section.start, section.bins)
    [event] = rates.events
    evidence = _weigh(
        rate_dispersion(rates),
        rates.scatter,
        worse=partial(log_e_worse, event),
        fine=partial(_log_e_fine, section.guard, event, rates.challenger),
    )
    totals, events = (rates.challenger, rates.champion), (event.challenger, event.champion)
    return _judge_evidence(section.guard, evidence, totals, levels, events)


def _log_e_fine(guard: Guard, event: Event, requests: int, dispersion: float) -> float:
    """Say what speaks for a rate within its margin, or below what matters.

    A ratio alone is never shown where nothing happens in either lane.
    """
    limit = 1 - guard.quantile if guard.kind is GuardKind.LATENCY else _NEGLIGIBLE
    return log_mean_exp(
        [log_e_fine(event, dispersion), log_e_rare(event, requests, limit, dispersion)]
    )


def _judge_shift(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
    rates = read_rates(counts, section.start, section.bins)
    evidence = _weigh(
        rate_dispersion(rates),
        rates.scatter,
        worse=partial(log_e_shifted, rates),
        fine=partial(log_e_similar, rates),
    )
    return _judge_evidence(section.guard, evidence, (rates.challenger, rates.champion), levels)


def _judge_pairs(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
    pairs, allowed = read_pairs(counts, section.start), section.guard.margin
    evidence = _weigh(
        pair_dispersion(pairs, allowed),
        pairs.scatter,
        worse=partial(log_e_more, pairs, allowed),
        fine=partial(log_e_fewer, pairs, allowed),
    )
    totals, events = (pairs.pairs, pairs.pairs), (pairs.differing, 0)
    return _judge_evidence(section.guard, evidence, totals, levels, events)


def _weigh(
    dispersion: float | None,
    scatter: Sequence[Scatter],
    *,
    worse: Callable[[float], float],
    fine: Callable[[float], float],
) -> _Evidence:
    """Find e-values at a dispersion, once it is known and as far as bursts would be known."""
    if dispersion is None:
        return _Evidence(None, None, 1.0)
    return _Evidence(
        worse(dispersion), fine(dispersion) if is_settled(scatter) else None, dispersion
    )


def _judge_evidence(
    guard: Guard,
    evidence: _Evidence,
    totals: tuple[int, int],
    levels: Levels,
    events: tuple[int, int] | None = None,
) -> Judgement:
    """Judge by e-values, of being worse and of being fine."""
    verdict = Verdict.UNDECIDED
    if evidence.fine is not None and evidence.fine >= -log(levels.fine):
        verdict = Verdict.NON_INFERIOR
    elif evidence.worse is not None and evidence.worse >= -log(levels.worse):
        verdict = Verdict.WORSE
    return Judgement(
        guard=guard,
        verdict=verdict,
        challenger=totals[0],
        champion=totals[1],
        events=events,
        evidence_worse=evidence.worse,
        evidence_fine=evidence.fine,
        dispersion=evidence.dispersion,
    )


def _judge_score(
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
