"""E-values have an expectation of at most 1 where what they speak against is true.

By enumeration, not by chance. What is computed is what the product counts and reads.
"""

from array import array
from math import comb, exp

import pytest

from gateway.rollout.pairs import Pairs
from gateway.rollout.rates import RateCells, rates_size, read_rates
from gateway.rollout.sequential import (
    Estimate,
    half_width,
    log_e_fewer,
    log_e_fine,
    log_e_more,
    log_e_worse,
    log_mean_exp,
)
from gateway.rollout.shifts import log_e_shifted, log_e_similar

MARGIN = 2.0
ROUNDING = 1e-9


def binomial(count: int, rate: float) -> list[float]:
    return [comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(count + 1)]


def log_e(blocks: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    """The e-values after blocks, each of requests and events of champion and challenger."""
    cells = array("q", [0]) * rates_size(1)
    rates = RateCells(cells, 0, 1, MARGIN)
    for champion, challenger, theirs, ours in blocks:
        rates.events[0][0], rates.events[1][0] = theirs, ours
        rates.close(champion, challenger)
    [event] = read_rates(cells, 0, 1).events
    return log_e_worse(event, 1.0), log_e_fine(event, 1.0)


def expectations(champion: int, challenger: int, theirs: float, ours: float) -> tuple[float, float]:
    """The expectations after one block, where events have these rates."""
    worse = fine = 0.0
    for c, chance_c in enumerate(binomial(champion, theirs)):
        for a, chance_a in enumerate(binomial(challenger, ours)):
            log_worse, log_fine = log_e([(champion, challenger, c, a)])
            worse += chance_c * chance_a * exp(log_worse)
            fine += chance_c * chance_a * exp(log_fine)
    return worse, fine


@pytest.mark.parametrize(("champion", "challenger"), [(10, 10), (30, 10), (12, 25)])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_no_evidence_against_a_challenger_that_is_not_worse(
    champion: int, challenger: int, rate: float
) -> None:
    for ours in (rate, 0.7 * rate, 0.0):
        worse, _ = expectations(champion, challenger, rate, ours)
        assert worse <= 1 + ROUNDING


@pytest.mark.parametrize(("champion", "challenger"), [(10, 10), (30, 10), (12, 25)])
@pytest.mark.parametrize("rate", [0.005, 0.05, 0.25, 0.45])
def test_no_evidence_for_a_challenger_at_the_margin_or_beyond(
    champion: int, challenger: int, rate: float
) -> None:
    for ours in (MARGIN * rate, min(1.0, 2 * MARGIN * rate)):
        _, fine = expectations(champion, challenger, rate, ours)
        assert fine <= 1 + ROUNDING


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_nor_however_the_stake_is_shared_among_the_bets(rate: float) -> None:
    cells = array("q", [0]) * rates_size(1)
    expected = {stakes: 0.0 for stakes in ((1.0,) * 5, (1.0, 2.0, 3.0, 5.0, 7.0))}
    for c, chance_c in enumerate(binomial(30, rate)):
        for a, chance_a in enumerate(binomial(10, rate)):
            cells[:] = array("q", [0]) * len(cells)
            rates = RateCells(cells, 0, 1, MARGIN)
            rates.events[0][0], rates.events[1][0] = c, a
            rates.close(30, 10)
            [event] = read_rates(cells, 0, 1).events
            for stakes in expected:
                expected[stakes] += chance_c * chance_a * exp(log_e_worse(event, 1.0, stakes))
            assert log_e_worse(event, 1.0, (1.0,) * 5) == pytest.approx(log_e_worse(event, 1.0))
    assert max(expected.values()) <= 1 + ROUNDING


def test_nor_over_blocks_whose_shares_and_rates_change_together() -> None:
    """The share rises just as everything gets worse: over both blocks the lanes look unlike."""
    first, second = (20, 4, 0.05), (4, 20, 0.4)
    total = 0.0
    for c, chance_c in enumerate(binomial(first[0], first[2])):
        for a, chance_a in enumerate(binomial(first[1], first[2])):
            for d, chance_d in enumerate(binomial(second[0], second[2])):
                for b, chance_b in enumerate(binomial(second[1], second[2])):
                    chance = chance_c * chance_a * chance_d * chance_b
                    if chance > 1e-12:
                        worse, _ = log_e([(20, 4, c, a), (4, 20, d, b)])
                        total += chance * exp(worse)
    assert total <= 1 + ROUNDING


@pytest.mark.parametrize("allowed", [0.02, 0.2, 0.7])
def test_a_share_of_pairs_at_its_limit_gives_no_evidence_either_way(allowed: float) -> None:
    pairs = 60

    def expectation(rate: float, *, is_more: bool) -> float:
        log_e = log_e_more if is_more else log_e_fewer
        return sum(
            chance * exp(log_e(Pairs(pairs, k, ()), allowed, 1.0))
            for k, chance in enumerate(binomial(pairs, rate))
        )

    for rate in (allowed, 0.5 * allowed):
        assert expectation(rate, is_more=True) <= 1 + ROUNDING
    for rate in (allowed, (1 + allowed) / 2):
        assert expectation(rate, is_more=False) <= 1 + ROUNDING


def test_the_same_distribution_gives_no_evidence_of_a_shift() -> None:
    """Three bins of few values in each lane, every outcome."""
    shares, size = (0.2, 0.5, 0.3), 5
    outcomes = [
        ((a, b, size - a - b), comb(size, a) * comb(size - a, b)
         * shares[0] ** a * shares[1] ** b * shares[2] ** (size - a - b))
        for a in range(size + 1) for b in range(size + 1 - a)
    ]  # fmt: skip
    total = 0.0
    for theirs, chance in outcomes:
        for ours, other in outcomes:
            cells = array("q", [0]) * rates_size(3)
            rates = RateCells(cells, 0, 3, MARGIN)
            rates.events[0][:], rates.events[1][:] = theirs, ours
            rates.close(size, size)
            total += chance * other * exp(log_e_shifted(read_rates(cells, 0, 3), 1.0))
    assert total <= 1 + ROUNDING


def test_a_distribution_is_similar_once_each_side_of_each_edge_is() -> None:
    def log_fine(ours: list[int]) -> float:
        cells = array("q", [0]) * rates_size(3)
        rates = RateCells(cells, 0, 3, 1.5)
        rates.events[0][:], rates.events[1][:] = [200, 500, 300], ours
        rates.close(1000, 1000)
        return log_e_similar(read_rates(cells, 0, 3), 1.0)

    assert log_fine([200, 500, 300]) > 3
    assert log_fine([150, 550, 300]) > 3
    assert log_fine([330, 370, 300]) < 0  # more are below the first edge than is allowed


def test_dividing_by_a_dispersion_never_adds_evidence() -> None:
    cells = array("q", [0]) * rates_size(1)
    rates = RateCells(cells, 0, 1, MARGIN)
    rates.events[0][0], rates.events[1][0] = 2, 12
    rates.close(100, 100)
    [event] = read_rates(cells, 0, 1).events
    assert log_e_worse(event, 1.0) > log_e_worse(event, 2.0) > 0
    assert log_e_fine(event, 1.0) < log_e_fine(event, 2.0) < 0


def test_the_mean_of_numbers_beyond_all_floats_is_found() -> None:
    assert log_mean_exp([5_000.0, 5_000.0]) == 5_000.0
    assert log_mean_exp([-5_000.0, 0.0]) == pytest.approx(-0.6931471805599453)


def test_the_interval_is_that_of_the_published_formula() -> None:
    """Worked out apart: a = .05 and n = n* give u = kappa = 8.7818, and a factor of 7.7399."""
    found = Estimate(mean=0.0, variance=4.0, challenger=1_500)
    assert half_width(found, 0.05) == pytest.approx(2 * 7.7399**0.5, rel=1e-4)
