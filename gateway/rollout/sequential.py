"""Evidence that stays valid however often one looks at it: e-processes and a confidence sequence.

An e-value has an expectation of at most 1 where what it speaks against is true, and the e-process
that it is part of reaches 1/alpha at any time with a probability of at most alpha (J. Ville, Étude
critique de la notion de collectif (1939)). Here they are natural logarithms. Divided by a
dispersion they are quasi-likelihoods, whose error rates are simulated and not proven. Pure, in
plain floats.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import exp, log, sqrt

from msgspec import Struct

from gateway.rollout.means import Means
from gateway.rollout.pairs import Pairs
from gateway.rollout.rates import FALLS, RISES, Event, Rates
from gateway.rollout.scatter import SCALES, Scatter

# Fewer blocks do not say how much they scatter; of events fewer of those that join some.
LEAST_BLOCKS = 20
_LEAST_JOINED = 3
# Few blocks have mostly not met a burst yet: what n of a size show is taken for 1 + doubt/n of it.
# Small ones are many before anything is judged, and show no burst that is longer; the first to show
# it are those of a hundred requests, and of them there are few when a version fails obviously.
_DOUBTS = (0.0, 1.0, 10.0, 5.0, 3.0)
# Differences of pairs are judged that early with doubt of all sizes, since their mean is known so
# well.
LEAST_PAIRED = 25
_DOUBTS_OF_PAIRS = (5.0,) * len(SCALES)
# That something is not there is shown only when there are so many blocks of this size.
_SETTLED = 20
_SETTLED_SCALE = SCALES.index(10)
# Means of two lanes wait for so many blocks, and for more of those that are joined: their bursts
# are less skewed than those of events, and each doubt would cost them many requests. The largest of
# some estimates is too large by itself, so that blocks of a hundred requests are taken for less
# than they show, and the doubt is of those that are larger. Pairs wait for as many blocks before
# they show that something is not there.
LEAST_UNPAIRED = 110
_LEAST_JOINED_UNPAIRED = 8
_DOUBTS_OF_LANES = (0.0, 0.0, -2.0, 8.0, 4.0)
# For so many requests of the challenger the interval of a mean is narrowest.
_TIGHTEST = 1_500


class Estimate(Struct, frozen=True):
    """A difference of means, challenger less champion, from so many values of the challenger."""

    mean: float
    variance: float
    challenger: int


def log_mean_exp(logarithms: Sequence[float], stakes: Sequence[float] | None = None) -> float:
    """Return the logarithm of the mean of numbers that are given by their logarithms.

    `stakes` are the weights of the mean; without them all weigh the same.
    """
    stakes = stakes or [1.0] * len(logarithms)
    most = max(logarithms)
    weighted = [stake * exp(one - most) for stake, one in zip(stakes, logarithms, strict=True)]
    return most + log(sum(weighted) / sum(stakes))


def log_e_worse(event: Event, dispersion: float, stakes: Sequence[float] | None = None) -> float:
    """Say what speaks for an event being more frequent in the challenger's lane.

    The conditional binomial e-process, a mixture over ratios of rates; `stakes` says how much is
    bet on each of `RISES`.
    """
    bets = zip(RISES, event.rises, strict=True)
    return log_mean_exp(
        [(event.challenger * log(ratio) - cost) / dispersion for ratio, cost in bets], stakes
    )


def log_e_fine(event: Event, dispersion: float) -> float:
    """Say what speaks for an event being less frequent there than is allowed."""
    bets = zip(FALLS, event.falls, strict=True)
    return log_mean_exp(
        [(gain - event.challenger * log(ratio)) / dispersion for ratio, gain in bets]
    )


def log_e_rare(event: Event, requests: int, limit: float, dispersion: float) -> float:
    """Say what speaks for an event being rarer there than a limit, whatever the champion's rate."""
    others = [limit / ratio for ratio in FALLS]
    return _log_e_share(event.challenger, requests, limit, others, dispersion)


def log_e_more(pairs: Pairs, allowed: float, dispersion: float) -> float:
    """Say what speaks for more pairs differing than the share that is allowed."""
    others = [min(allowed * ratio, (1 + allowed) / 2) for ratio in RISES]
    return _log_e_share(pairs.differing, pairs.pairs, allowed, others, dispersion)


def log_e_fewer(pairs: Pairs, allowed: float, dispersion: float) -> float:
    """Say what speaks for fewer pairs differing than the share that is allowed."""
    others = [allowed / ratio for ratio in FALLS]
    return _log_e_share(pairs.differing, pairs.pairs, allowed, others, dispersion)


def _log_e_share(
    happened: int, count: int, allowed: float, others: Sequence[float], dispersion: float
) -> float:
    """Bet on each of some shares against the one allowed: the Bernoulli e-process."""
    bets = [
        happened * log(other / allowed) + (count - happened) * log((1 - other) / (1 - allowed))
        for other in others
    ]
    return log_mean_exp([bet / dispersion for bet in bets])


def rate_dispersion(rates: Rates) -> float | None:
    """Say how much more blocks of events scatter than if each came alone; None before it is known.

    At least 1. The largest over all sizes of blocks, since what lasts longer than a small block
    shows in the large ones only. After P. McCullagh, J. A. Nelder, Generalized Linear Models,
    2nd ed. (1989), p. 124.
    """
    excess = [event.challenger - event.due for event in rates.events]
    excess += list(accumulate(excess))[:-1]
    return _dispersion(rates.scatter, sum([one * one for one in excess]))


def pair_dispersion(pairs: Pairs, allowed: float) -> float | None:
    """Say how much more blocks of pairs scatter than if each differed by itself, as of rates."""
    excess = (pairs.differing - allowed * pairs.pairs) ** 2
    return _dispersion(pairs.scatter, excess, of_count=excess / max(1, pairs.pairs))


def _dispersion(
    scatter: Sequence[Scatter], excess: float, *, of_count: float = 0.0
) -> float | None:
    """Compare squares of blocks with what is expected of them.

    `excess` is the square of the sum over all blocks, and `of_count` the part of what is expected
    that a shift of the mean makes.
    """
    if scatter[0].blocks < LEAST_BLOCKS:
        return None
    found = [1.0]
    for one, doubt in zip(scatter, _DOUBTS, strict=True):
        expected = (one.expected - of_count) * (one.blocks - 1)
        if one.blocks >= _LEAST_JOINED and expected > 0:
            squares = one.squares - excess / one.blocks
            found.append(squares * one.blocks / expected * (1 + doubt / one.blocks))
    return max(found)


def is_settled(scatter: Sequence[Scatter]) -> bool:
    """Say whether so much came that bursts, if there are any, will have been among it."""
    return scatter[_SETTLED_SCALE].blocks >= _SETTLED


def estimate(means: Means, *, is_paired: bool) -> Estimate | None:
    """Estimate a difference of means, in margins; None where there are too few blocks.

    The variance is the largest over all sizes of blocks of which there are enough.
    """
    first = means.scales[0]
    if first.blocks < (LEAST_PAIRED if is_paired else LEAST_UNPAIRED):
        return None
    least = _LEAST_JOINED if is_paired else _LEAST_JOINED_UNPAIRED
    doubts = _DOUBTS_OF_PAIRS if is_paired else _DOUBTS_OF_LANES
    variances = [
        variance_of_mean(one.blocks, one.total, one.squares) * (1 + doubt / one.blocks)
        for one, doubt in zip(means.scales, doubts, strict=True)
        if one.blocks >= least
    ]
    return Estimate(
        mean=first.total / first.blocks,
        variance=max(variances),
        challenger=means.challenger,
    )


def variance_of_mean(blocks: int, total: float, squares: float) -> float:
    """Return the variance of the mean of blocks, from how they scatter about it."""
    mean = total / blocks
    return max(0.0, squares / blocks - mean * mean) / (blocks - 1)


def half_width(found: Estimate, alpha: float) -> float:
    """Return how far a mean may lie from its estimate, on one side, at all times at once.

    The asymptotic confidence sequence with a normal mixture (I. Waudby-Smith, D. Arbour, R. Sinha,
    E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 52 (2024), p. 2613).
    """
    spread = -2 * log(alpha)
    ratio = (spread + log(spread) + 1) * found.challenger / _TIGHTEST
    factor = 2 * (ratio + 1) / ratio * log(1 + sqrt(ratio + 1) / (2 * alpha))
    return sqrt(found.variance * factor)
