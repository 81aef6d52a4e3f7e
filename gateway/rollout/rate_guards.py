"""What guards on events say: on rates, on shares of pairs, and on distributions. Pure."""

from collections.abc import Callable, Sequence
from functools import partial
from math import log

from msgspec import Struct

from gateway.rollout.evidence import Section
from gateway.rollout.levels import Levels
from gateway.rollout.pairs import read_pairs
from gateway.rollout.rates import RISES, Event, read_rates
from gateway.rollout.scatter import Scatter
from gateway.rollout.sequential import (
    is_settled,
    log_e_fewer,
    log_e_fine,
    log_e_more,
    log_e_rare,
    log_e_worse,
    log_mean_exp,
    pair_dispersion,
    rate_dispersion,
)
from gateway.rollout.shifts import log_e_shifted, log_e_similar
from registry.rollouts import Guard, GuardKind, Judgement, Verdict

# Of requests failed or refused so few are no reason to wait, however few the champion has.
_NEGLIGIBLE = 0.005
# What is rare, as failures are, multiplies where a version is broken, and is to be found in few
# requests: of the stake more is on large ratios, as their logarithms are. What is frequent, as slow
# requests and what lies in a bin, cannot multiply, and has the same stake on all.
_STAKES_ON_RARE = tuple(map(log, RISES))


class _Evidence(Struct, frozen=True):
    """What e-values of a guard are, as logarithms; None where it is too early for them."""

    worse: float | None
    fine: float | None
    dispersion: float


def judge_rate(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
    rates = read_rates(counts, section.start, section.bins)
    [event] = rates.events
    evidence = _weigh(
        rate_dispersion(rates),
        rates.scatter,
        worse=partial(log_e_worse, event, stakes=_stakes(section.guard)),
        fine=partial(_log_e_fine, section.guard, event, rates.challenger),
    )
    totals, events = (rates.challenger, rates.champion), (event.challenger, event.champion)
    return _judge_evidence(section.guard, evidence, totals, levels, events)


def _stakes(guard: Guard) -> Sequence[float] | None:
    return None if guard.kind is GuardKind.LATENCY else _STAKES_ON_RARE


def _log_e_fine(guard: Guard, event: Event, requests: int, dispersion: float) -> float:
    """Say what speaks for a rate within its margin, or below what matters.

    A ratio alone is never shown where nothing happens in either lane.
    """
    limit = 1 - guard.quantile if guard.kind is GuardKind.LATENCY else _NEGLIGIBLE
    return log_mean_exp(
        [log_e_fine(event, dispersion), log_e_rare(event, requests, limit, dispersion)]
    )


def judge_shift(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
    rates = read_rates(counts, section.start, section.bins)
    evidence = _weigh(
        rate_dispersion(rates),
        rates.scatter,
        worse=partial(log_e_shifted, rates),
        fine=partial(log_e_similar, rates),
    )
    return _judge_evidence(section.guard, evidence, (rates.challenger, rates.champion), levels)


def judge_pairs(section: Section, counts: Sequence[int], levels: Levels) -> Judgement:
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
