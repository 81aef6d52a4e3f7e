"""Simulated traffic of two lanes, in blocks as they are counted, judged by a guard as it is."""

from array import array
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from gateway.rollout.evidence import Layout, Section
from gateway.rollout.levels import Levels
from gateway.rollout.means import MeanCells
from gateway.rollout.pairs import PairCells
from gateway.rollout.rates import RateCells
from gateway.rollout.scatter import BLOCK
from gateway.rollout.verdict import judge
from registry.rollouts import Guard, GuardKind, Judgement, Plan, Step, Verdict

ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)
BURST = 100  # requests of one lane that are alike
LOOKS = 200
MOST = 20_000  # requests of the challenger
# No constant of the statistics was tuned on traffic of these seeds.
FIRST_SEED = 1_000_000


def one_guard(guard: Guard, *, is_shadow: bool = False) -> Plan:
    """A plan of one stage, in which one guard has all of alpha."""
    step = Step(points=5_000)
    if is_shadow:
        return Plan(challenger=2, guards=(guard,), shadow=step)
    return Plan(challenger=2, guards=(guard,), steps=(step,))


def champion_block(share: float) -> int:
    """How many requests the champion has in a block, where the challenger has such a share."""
    return round(BLOCK * (1 - share) / share)


def events(
    rng: Generator, rate: float, blocks: int, size: int, correlation: float
) -> NDArray[np.int64]:
    """How many requests of each block have an event; alike within bursts that begin anywhere."""
    if not correlation:
        return rng.binomial(size, rate, blocks)
    requests = np.arange(blocks * size) + rng.integers(BURST)
    spread = (1 - correlation) / correlation
    rates = rng.beta(rate * spread, (1 - rate) * spread, requests[-1] // BURST + 1)
    happened = rng.random(len(requests)) < rates[requests // BURST]
    return happened.reshape(blocks, size).sum(axis=1)


def values(
    rng: Generator, mean: float, blocks: int, size: int, correlation: float
) -> NDArray[np.float64]:
    """The mean of each block, of values with a standard deviation of 1."""
    requests = np.arange(blocks * size) + rng.integers(BURST)
    common = rng.normal(0, np.sqrt(correlation), requests[-1] // BURST + 1)
    own = rng.normal(mean, np.sqrt(1 - correlation), len(requests))
    return (own + common[requests // BURST]).reshape(blocks, size).mean(axis=1)


def rate_looks(
    rng: Generator,
    challenger: float,
    champion: float,
    *,
    share: float = 0.5,
    correlation: float = 0.0,
    most: int = MOST,
    guard: Guard = ERRORS,
) -> Iterator[tuple[int, Judgement]]:
    """Let requests with events at two rates come, and give what is said at each look."""
    blocks, size = most // BLOCK, champion_block(share)
    ours = events(rng, challenger, blocks, BLOCK, correlation).tolist()
    theirs = events(rng, champion, blocks, size, correlation).tolist()
    section, levels, cells = _begin(guard)
    rates = RateCells(cells, section.start, 1, guard.margin)
    for number in range(blocks):
        rates.events[0][0], rates.events[1][0] = theirs[number], ours[number]
        rates.close(size, BLOCK)
        if _is_look(number, blocks):
            yield (number + 1) * BLOCK, judge(section, cells, levels, is_shadow=False)


def mean_looks(
    rng: Generator,
    difference: float,
    guard: Guard,
    *,
    share: float | None = 0.5,
    correlation: float = 0.0,
    most: int = MOST,
    spread: float = 1.0,
) -> Iterator[tuple[int, Judgement]]:
    """The same of means; they are of pairs, whose difference has such a spread, without a share."""
    blocks, is_paired = most // BLOCK, share is None
    size = 1 if share is None else champion_block(share)
    ours = spread * values(rng, difference / spread, blocks, BLOCK, correlation)
    theirs = np.zeros(blocks) if is_paired else values(rng, 0.0, blocks, size, correlation)
    section, levels, cells = _begin(guard, is_shadow=is_paired)
    means = MeanCells(cells, section.start, guard.margin, is_paired=is_paired)
    for number in range(blocks):
        for _ in range(BLOCK):
            means.add(1, ours[number])
        means.add(0, theirs[number])
        means.close()
        if _is_look(number, blocks):
            yield (number + 1) * BLOCK, judge(section, cells, levels, is_shadow=is_paired)


def pair_looks(
    rng: Generator, share: float, guard: Guard, *, correlation: float = 0.0, most: int = MOST
) -> Iterator[tuple[int, Judgement]]:
    """The same of pairs, of which such a share differs."""
    blocks = most // BLOCK
    differing = events(rng, share, blocks, BLOCK, correlation).tolist()
    section, levels, cells = _begin(guard, is_shadow=True)
    pairs = PairCells(cells, section.start, guard.margin)
    for number in range(blocks):
        pairs.pairs, pairs.differing = BLOCK, differing[number]
        pairs.close()
        if _is_look(number, blocks):
            yield (number + 1) * BLOCK, judge(section, cells, levels, is_shadow=True)


def shift_looks(
    rng: Generator, shift: float, guard: Guard, *, correlation: float = 0.0, most: int = MOST
) -> Iterator[tuple[int, Judgement]]:
    """The same of a distribution in 20 equal bins, whose values are greater by a shift; no NaN."""
    blocks, bins = most // BLOCK, 21
    edges = [NormalDist().inv_cdf(part / 20) for part in range(1, 20)]
    lanes = [
        np.searchsorted(edges, values(rng, mean, blocks * BLOCK, 1, correlation))
        for mean in (0.0, shift)
    ]
    section, levels, cells = _begin(guard, bins=bins)
    rates = RateCells(cells, section.start, bins, guard.margin)
    for number in range(blocks):
        for lane, found in zip(rates.events, lanes, strict=True):
            for one in found[number * BLOCK : (number + 1) * BLOCK].tolist():
                lane[one] += 1
        rates.close(BLOCK, BLOCK)
        if _is_look(number, blocks):
            yield (number + 1) * BLOCK, judge(section, cells, levels, is_shadow=False)


def first(looks: Iterator[tuple[int, Judgement]], verdict: Verdict) -> float:
    """After how many requests of the challenger a verdict is first said; infinite for never."""
    return next((count for count, said in looks if said.verdict is verdict), np.inf)


def firsts(
    runs: int, verdict: Verdict, simulate: Callable[[Generator], Iterator[tuple[int, Judgement]]]
) -> NDArray[np.float64]:
    """Find that of many runs."""
    seeds = range(FIRST_SEED, FIRST_SEED + runs)
    return np.array([first(simulate(np.random.default_rng(seed)), verdict) for seed in seeds])


def _begin(
    guard: Guard, *, is_shadow: bool = False, bins: int = 1
) -> tuple[Section, Levels, "array[int]"]:
    plan = one_guard(guard, is_shadow=is_shadow)
    layout = Layout.of(plan, 0, {0: bins})
    return layout.sections[0], Levels.of(plan), array("q", [0]) * layout.size


def _is_look(number: int, blocks: int) -> bool:
    return (number + 1) % max(1, blocks // LOOKS) == 0
