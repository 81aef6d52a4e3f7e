"""What a detector bets on, that no bet wins by itself, and what it tells when one wins."""

from datetime import timedelta
from math import comb, exp, log

import numpy as np
import pytest
from live_traffic import (
    MINUTE,
    START,
    Rows,
    Traffic,
    detector,
    judge,
    reference,
    truths,
    truths_summary,
)
from msgspec import ValidationError

from gateway.monitor.bets import Bet
from gateway.monitor.cells import MISSING, UNSEEN, Side
from gateway.monitor.detector import Detector, State, read_state, write_state
from gateway.monitor.layout import Layout
from registry.distribution import Categorical, Feature, Reference


def expectation(bet: Bet, share: float, n: int) -> float:
    """Enumerate what `n` rows may be: the mean of the factor that multiplies the evidence."""
    return sum(
        comb(n, x) * share**x * (1 - share) ** (n - x) * exp(x * bet.gain + n * bet.cost)
        for x in range(n + 1)
    )


def test_no_bet_gains_on_average_while_the_share_is_tolerated() -> None:
    bets = {(bet.null, bet.alternative): bet for bet in detector().bets}.values()
    for bet in list(bets)[:: len(bets) // 150]:
        for n in (1, 2, 7, 12):
            for share in (bet.null, 0.9 * bet.null, 0.5 * bet.null, 0.0):
                assert expectation(bet, share, n) <= 1 + 1e-9


def test_a_bet_gains_where_its_alternative_is_true() -> None:
    for bet in detector().bets:
        assert bet.alternative * bet.gain + bet.cost > 0


def test_the_stakes_of_a_feature_add_to_one() -> None:
    stakes = [0.0] * len(Layout.of(reference()).features)
    for bet in detector().bets:
        stakes[bet.feature] += bet.stake
    assert stakes == pytest.approx([1.0] * len(stakes))


def test_no_step_is_bet_on_that_a_share_cannot_take() -> None:
    assert all(0 < bet.null < bet.alternative < 1 for bet in detector().bets)


def test_a_small_reference_is_given_more_room() -> None:
    def greatest_room(rows: int) -> float:
        of = Detector(Layout.of(truths(share=0.5, rows=rows)), average_run_length=1000)
        return max(bet.null for bet in of.bets if bet.null < 0.9) - 0.5

    assert greatest_room(10**6) == pytest.approx(0.03)
    # A bin may be off by twice sqrt(ln(2 F / .01) / (2 m)).
    assert greatest_room(5_000) == pytest.approx(2 * (log(60 / 0.01) / 10_000) ** 0.5)


def shift(_: np.random.Generator, rows: Rows) -> None:
    rows[:, 7] += 1


def lose(source: np.random.Generator, rows: Rows) -> None:
    rows[source.random(len(rows)) < 0.2, 3] = np.nan


def test_a_shift_is_told_with_its_feature_share_and_time() -> None:
    traffic = Traffic(1)
    found = judge(detector(), [traffic.look() for _ in range(3)] + [traffic.look(shift)])
    assert found[:3] == [[], [], []]
    (finding,) = found[3]
    assert (finding.side, finding.input, finding.column) == (Side.INPUT, "x", 7)
    assert finding.statistic.startswith("share at or below ") or "above" in finding.statistic
    assert abs(finding.observed - finding.expected) > 0.2
    assert START <= finding.since <= START + 3 * MINUTE
    assert finding.at == START + 4 * MINUTE
    assert finding.e_value >= 31 * 1000  # thirty numbers, and their joint distance
    assert not finding.has_ended


def test_missing_values_are_told_as_such() -> None:
    traffic = Traffic(2)
    ((), (finding,)) = judge(detector(), [traffic.look(), traffic.look(lose)])
    assert (finding.column, finding.statistic) == (3, MISSING)
    assert finding.expected == pytest.approx(0.01, abs=0.002)
    assert finding.observed == pytest.approx(0.2, abs=0.06)
    assert finding.rows == 250


def test_a_finding_is_told_once_and_ends_once() -> None:
    traffic = Traffic(3)
    looks = [traffic.look(), *(traffic.look(shift) for _ in range(20))]
    looks += [traffic.look(rows=1000) for _ in range(12)]
    found = judge(detector(), looks)
    told = [(number, finding) for number, at in enumerate(found) for finding in at]
    (begin, begun), (end, ended) = told
    assert begin == 1
    assert 21 <= end <= 26
    assert ended.has_ended
    assert ended.e_value < 1
    assert ended.at == START + (end + 1) * MINUTE
    assert (ended.statistic, ended.since) == (begun.statistic, begun.since)


def test_a_detector_goes_on_from_a_state_that_was_written() -> None:
    traffic, one, other = Traffic(4), State(), State()
    for minute in range(6):
        blocks = traffic.look(shift if minute > 3 else None)
        at = START + minute * MINUTE
        left = detector().look(one, blocks, at, at + MINUTE)
        right = detector().look(read_state(write_state(other)), blocks, at, at + MINUTE)
        assert left == right
        one, other = left.state, right.state
    assert one.open


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        read_state(b'{"rises": 1}')


def test_a_detector_with_other_bets_begins_anew_and_ends_what_was_open() -> None:
    traffic = Traffic(5)
    look = detector().look(State(), traffic.look(shift), START, START + MINUTE)
    assert len(look.findings) == 1
    lenient = Detector(Layout.of(reference()), average_run_length=1000, tolerance=0.9)
    after = lenient.look(look.state, traffic.look(), START, START + MINUTE)
    assert [finding.has_ended for finding in after.findings] == [True]
    assert after.state.open == {}


def test_no_rows_change_nothing() -> None:
    traffic = Traffic(6)
    state = detector().look(State(), traffic.look(lose), START, START + MINUTE).state
    empty = Layout.of(reference()).empty()
    for blocks in ([], [empty, empty]):
        later = detector().look(state, blocks, START, START + timedelta(days=1))
        assert later.state == state
        assert later.findings == ()


def test_a_declared_rate_of_missing_values_takes_the_place_of_the_reference() -> None:
    traffic = Traffic(7)
    blocks = [traffic.look(lose) for _ in range(4)]
    layout = Layout.of(reference())
    for rates in ({("x", None): 0.3}, {("x", 3): 0.3}, {("x", None): 0.01, ("x", 3): 0.3}):
        tolerant = Detector(layout, average_run_length=1000, missing_rates=rates)
        assert judge(tolerant, blocks) == [[]] * 4
    strict = Detector(layout, average_run_length=1000, missing_rates={("x", 3): 0.05})
    (finding,) = judge(strict, blocks)[0]
    assert (finding.statistic, finding.expected) == (MISSING, 0.05)


def carriers(seen: dict[str, int], unseen: int = 0) -> tuple[Layout, list[int]]:
    """A reference of airlines, and a summary of some."""
    kind = Categorical(values=("UA", "AA", "B6"), counts=(30_000, 15_000, 5_000), other=0)
    feature = Feature(input="carrier", count=50_000, missing=0, distribution=kind)
    layout = Layout.of(Reference(rows=50_000, features=(feature,)))
    summary = layout.empty()
    cells = dict(zip(kind.values, layout.features[0].splits[0].bins, strict=True))
    for value, count in seen.items():
        summary[cells[value]] = count
    summary[layout.features[0].cell(UNSEEN)] = unseen
    summary[0] = sum(seen.values()) + unseen
    return layout, summary


@pytest.mark.parametrize(
    ("seen", "unseen", "statistic", "expected", "observed"),
    [
        ({"UA": 6, "AA": 1, "B6": 3}, 0, "share of B6", 0.1, 0.3),
        ({"UA": 3, "AA": 5, "B6": 2}, 0, "share of UA", 0.6, 0.3),
        ({"UA": 5, "AA": 2, "B6": 1}, 2, UNSEEN, 0.0, 0.2),
    ],
)
def test_a_category_is_told_by_its_name_whether_it_grew_or_shrank(
    seen: dict[str, int], unseen: int, statistic: str, expected: float, observed: float
) -> None:
    layout, summary = carriers(seen, unseen)
    of = Detector(layout, average_run_length=1000)
    (finding,) = judge(of, [[summary] * 60])[0]
    assert finding.statistic == statistic
    assert finding.expected == pytest.approx(expected)
    assert finding.observed == pytest.approx(observed)


def test_a_version_without_features_is_never_told_of() -> None:
    of = Detector(Layout.of(Reference(rows=10, features=())), average_run_length=1000)
    assert judge(of, [[[5]], [[6]]]) == [[], []]


def test_the_evidence_is_bounded_however_long_a_change_lasts() -> None:
    layout = Layout.of(truths(features=1))
    of = Detector(layout, average_run_length=1000)
    blocks = [truths_summary(layout, 10_000, [10_000])] * 60
    state = State()
    for _ in range(5):
        look = of.look(state, blocks, START, START + MINUTE)
        state = look.state
    assert 1000 <= look.e_values[0] < 1e7
