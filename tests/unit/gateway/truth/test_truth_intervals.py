import numpy as np
import pytest
from scipy import stats

from gateway.truth.calibration import calibrate
from gateway.truth.intervals import of_mean, sequence_of_mean, sequence_of_share, wilson
from gateway.truth.scoring import Scored
from tests.unit.gateway.truth.rows import calibrated, scored


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (45, 50), (180, 200), (1, 9_000)])
def test_wilsons_interval_is_that_of_scipy(hits: int, count: int) -> None:
    wanted = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")

    assert wilson(hits, count).low == pytest.approx(wanted.low, abs=1e-12)
    assert wilson(hits, count).high == pytest.approx(wanted.high, abs=1e-12)


def test_nothing_counted_is_nothing_known() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)
    assert of_mean([1.0]) is None
    assert sequence_of_mean([1.0] * 499) is None
    assert sequence_of_mean([0.0, 1.0] * 250) is not None


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=500)
    low, high = stats.norm.interval(0.95, loc=values.mean(), scale=stats.sem(values))

    found = of_mean(values.tolist())

    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_sequence_is_as_wide_as_the_reference_tables_say() -> None:
    """Half-widths for accuracy .9, narrowest at 1,000 rows: .070, .029 and .013."""
    rng = np.random.default_rng(3)
    for count, wanted in ((1_000, 0.029), (5_000, 0.013)):
        widths = []
        for _ in range(60):
            found = sequence_of_mean((rng.random(count) < 0.9).astype(float).tolist())
            assert found is not None
            widths.append((found.high - found.low) / 2)
        assert np.median(widths) == pytest.approx(wanted, rel=0.15)


def test_a_sequence_that_is_watched_holds_the_truth() -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(150):
        values = (rng.random(6_000) < 0.9).astype(float).tolist()
        looks = (sequence_of_mean(values[:end]) for end in range(500, 6_001, 100))
        missed += any(one is not None and not one.low <= 0.9 <= one.high for one in looks)
    assert missed / 150 <= 0.05


def test_rows_that_are_alike_widen_a_sequence() -> None:
    rng = np.random.default_rng(5)
    apart = (rng.random(2_500) < 0.9).astype(float)
    alike = np.repeat((rng.random(100) < 0.9).astype(float), 25)

    widths = [
        found.high - found.low
        for values in (apart, alike)
        if (found := sequence_of_mean(values.tolist())) is not None
    ]

    assert widths[1] > 4 * widths[0]


def first_off(rows: list[Scored], step: int = 250) -> int | None:
    """After how many rows probabilities are called off, looking every `step`."""
    for end in range(step, len(rows) + 1, step):
        found = calibrate(rows[:end])
        assert found is not None
        if found.is_off:
            return end
    return None


@pytest.mark.parametrize(
    ("runs", "rows"), [(100, 2_000), pytest.param(1_000, 5_000, marks=pytest.mark.torture)]
)
def test_calibrated_probabilities_are_seldom_called_off(runs: int, rows: int) -> None:
    found = (calibrate(calibrated(rows, seed)) for seed in range(runs))

    assert sum(one is not None and one.is_off for one in found) <= 0.05 * runs


def test_a_shifted_logit_is_found_about_as_soon_as_the_reference_says() -> None:
    """A shift of .2 after a median of 915 labels, one of .4 after 209."""
    for shift, most in ((0.2, 1_500), (0.4, 500)):
        found = [first_off(calibrated(4_000, seed, shift)) for seed in range(25)]
        delays = sorted(one or 9_999 for one in found)
        assert delays[len(delays) // 2] <= most


def test_bursts_are_discounted_before_probabilities_are_called_off() -> None:
    """All rows of a block share their fate, so each probability is right on average."""
    rng = np.random.default_rng(6)
    off = 0
    for _ in range(60):
        rows: list[Scored] = []
        for _ in range(80):
            rate = rng.beta(0.3 * 9, 0.7 * 9)  # intra-block correlation 0.1
            rows += [scored(0.3, bool(draw < rate)) for draw in rng.random(25)]
        found = calibrate(rows)
        assert found is not None
        assert found.dispersion > 1.5
        off += found.is_off
    assert off / 60 <= 0.05


def test_a_reliability_table_has_what_was_said_and_what_was() -> None:
    rows = [scored(0.25, is_positive=number % 4 == 0) for number in range(100)]
    rows += [scored(1.0, is_positive=True)]

    found = calibrate(rows)

    assert found is not None
    first, last = found.bins
    assert (first.low, first.high, first.rows, first.said, first.was) == (0.2, 0.3, 100, 0.25, 0.25)
    assert first.interval == wilson(25, 100)
    assert (last.low, last.rows, last.was) == (0.9, 1, 1.0)
    assert calibrate([]) is None


def test_what_was_always_right_may_yet_be_wrong() -> None:
    found = sequence_of_share(800, [1.0] * 800)
    assert found is not None
    assert 0.99 < found.low < 0.996
    assert found.high == 1.0
