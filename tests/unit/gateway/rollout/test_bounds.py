"""What is possible at all: how soon errors of 5 % are found by whoever bets with both rates known.

Worked out exactly, for independent requests, one guard at alpha .05, and a look after each block.
The product knows neither rate, and has to allow for bursts: it cannot find them more often.
"""

from math import comb, log

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from gateway.rollout.scatter import BLOCK
from tests.unit.gateway.rollout.traffic import champion_block

CHALLENGER, CHAMPION, ALPHA, REQUESTS = 0.05, 0.005, 0.05, 400
# More events than these are less likely than a rounding error.
MOST_OURS, MOST_THEIRS = 90, 90


def chances(rate: float, size: int) -> NDArray[np.float64]:
    """Of each number of events in a block, up to where nothing comes any more."""
    found = [comb(size, k) * rate**k * (1 - rate) ** (size - k) for k in range(min(size, 14) + 1)]
    return np.array(found)


def found_within(share: float, ours: float, theirs: float, block: float) -> float:
    """The chance that a bet reaches 1/alpha at some look.

    It gains `ours` for each event of the challenger's, `theirs` for each of the champion's and
    `block` for each block, as logarithms.
    """
    ours_found = chances(CHALLENGER, BLOCK)
    theirs_found = chances(CHAMPION, champion_block(share))
    a, c = np.indices((MOST_OURS, MOST_THEIRS))
    undecided = np.zeros((MOST_OURS, MOST_THEIRS))
    undecided[0, 0] = 1.0
    found = 0.0
    for number in range(1, REQUESTS // BLOCK + 1):
        after_ours = np.zeros_like(undecided)
        for k, chance in enumerate(ours_found):
            after_ours[k:] += chance * undecided[: MOST_OURS - k]
        undecided = np.zeros_like(undecided)
        for k, chance in enumerate(theirs_found):
            undecided[:, k:] += chance * after_ours[:, : MOST_THEIRS - k]
        is_found = a * ours + c * theirs + number * block >= -log(ALPHA)
        found += float(undecided[is_found].sum())
        undecided[is_found] = 0.0
    return found


def best_on_a_ratio(share: float) -> float:
    """The best bet on a ratio of the rates, given how many events there are: the product's kind."""
    return max(
        found_within(
            share, log(ratio / (share * ratio + 1 - share)), -log(share * ratio + 1 - share), 0.0
        )
        for ratio in np.arange(2.5, 10.5, 0.5)
    )


def best_on_two_rates() -> float:
    """The best likelihood ratio of two rates against the rate between them, in equal lanes.

    An e-value whatever that rate is (R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact
    sequential k-sample tests that allow for optional stopping", Journal of Statistical Planning and
    Inference 230 (2024)).
    """
    found = []
    for high in (0.04, 0.05, 0.06):
        for low in (0.005, 0.01, 0.015, 0.02):
            middle = (high + low) / 2
            missed = log((1 - high) / (1 - middle)), log((1 - low) / (1 - middle))
            ours, theirs = log(high / middle) - missed[0], log(low / middle) - missed[1]
            found.append(found_within(0.5, ours, theirs, BLOCK * sum(missed)))
    return max(found)


def found_at_one_look(alpha: float) -> float:
    """The power of the best unbiased test that looks once, after 400 requests of each lane."""
    total = 0.0
    for events in range(70):
        ours = np.arange(events + 1)
        alike = hypergeom.pmf(ours, 2 * REQUESTS, events, REQUESTS)
        at_least = np.cumsum(alike[::-1])[::-1]
        is_rejected = at_least <= alpha
        left = alpha - (at_least[is_rejected][0] if is_rejected.any() else 0.0)
        rejected = is_rejected.astype(float)
        border = int((~is_rejected).sum()) - 1
        rejected[border] = left / alike[border]  # by a draw, so that no alpha is left over
        both = binom.pmf(ours, REQUESTS, CHALLENGER) * binom.pmf(events - ours, REQUESTS, CHAMPION)
        total += float((both * rejected).sum())
    return total


def test_in_equal_lanes_no_bet_finds_errors_of_five_percent_99_times_in_100() -> None:
    assert best_on_a_ratio(0.5) == pytest.approx(0.979, abs=0.001)
    assert best_on_two_rates() == pytest.approx(0.980, abs=0.001)


def test_beside_a_small_canary_one_does() -> None:
    assert best_on_a_ratio(0.1) > 0.999


def test_it_is_looking_often_that_costs_it() -> None:
    """A test that has all of alpha for one look would do, were that known to be the look."""
    assert found_at_one_look(ALPHA) == pytest.approx(0.996, abs=0.001)
    assert found_at_one_look(ALPHA / 5) < 0.99
