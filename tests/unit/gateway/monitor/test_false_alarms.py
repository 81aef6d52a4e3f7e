"""How often a detector alarms where nothing changed, and how soon where something did.

Seeded, and so exact; the whole runs are marked `torture`.
"""

from statistics import median

import numpy as np
import pytest
from live_traffic import (
    Change,
    Rows,
    Traffic,
    detector,
    judge,
    rows_to_detection,
    truths,
    truths_summary,
)

from gateway.monitor.detector import Detector
from gateway.monitor.layout import Layout, merge

QUARTER = 130_000  # looks: one a minute for 90 days


def shift(by: float) -> Change:
    def change(_: np.random.Generator, rows: Rows) -> None:
        rows[:, 7] += by

    return change


def lose(share: float) -> Change:
    def change(source: np.random.Generator, rows: Rows) -> None:
        rows[source.random(len(rows)) < share, 7] = np.nan

    return change


def false_alarms(looks: int, seed: int) -> int:
    traffic = Traffic(seed)
    return sum(map(len, judge(detector(), (traffic.look() for _ in range(looks)))))


def test_clean_traffic_raises_no_alarm() -> None:
    assert false_alarms(looks=100, seed=11) == 0


@pytest.mark.torture
def test_clean_traffic_raises_no_alarm_in_four_thousand_looks() -> None:
    assert false_alarms(looks=4000, seed=12) == 0


CHANGES = [
    pytest.param(shift(0.5), 500, id="0.5 sd"),
    pytest.param(shift(0.25), 2000, id="0.25 sd"),
    pytest.param(lose(0.2), 500, id="missing 1 -> 20 %"),
]


@pytest.mark.parametrize(("change", "most_rows"), CHANGES)
def test_a_change_is_found_soon(change: Change, most_rows: int) -> None:
    rows = [rows_to_detection(detector(), seed, change) for seed in range(7)]
    assert median(rows) <= most_rows


@pytest.mark.torture
@pytest.mark.parametrize(("change", "most_rows"), CHANGES)
@pytest.mark.parametrize("average_run_length", [1000, QUARTER])
def test_a_change_is_found_soon_over_many_seeds(
    change: Change, most_rows: int, average_run_length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    of = detector(average_run_length)
    rows = sorted(rows_to_detection(of, seed, change) for seed in range(101))
    with capsys.disabled():
        print(f"\n1 in {average_run_length:,} looks: median {median(rows):,}, 95 % {rows[95]:,}")
    # A false-alarm rate a hundred times lower costs up to a third more rows.
    assert median(rows) <= most_rows * (1 if average_run_length == 1000 else 4 / 3)


def test_the_tolerance_hides_a_wobble_however_much_traffic_there_is() -> None:
    traffic = Traffic(13)
    looks = (traffic.look(shift(0.03), rows=20_000) for _ in range(10))
    assert not any(judge(detector(), looks))


def true_calls(source: np.random.Generator, share: float, rows: int, alike: float) -> int:
    """Count the truths among `rows` rows of one caller, of which two are equal the more often.

    Beta-binomial with the correlation `alike`; at 1 all rows are the same.
    """
    if alike == 1:
        return rows * int(source.random() < share)
    odds = (1 - alike) / alike
    return int(source.binomial(rows, source.beta(share * odds, (1 - share) * odds)))


def bursty_alarms(rows: int, alike: float, *, share: float, looks: int, is_dealt: bool) -> int:
    """Count alarms on unchanged traffic: a caller each second, 25 seconds a look, 30 features.

    Where it `is_dealt`, the rows of a look are dealt out to its seconds, as if they had come
    independently.
    """
    layout = Layout.of(truths(share=share))
    of = Detector(layout, average_run_length=1000)
    source = np.random.default_rng(14)

    def look() -> list[list[int]]:
        true = np.array(
            [[true_calls(source, share, rows, alike) for _ in layout.features] for _ in range(25)]
        )
        if is_dealt:
            totals = true.sum(axis=0)
            hands = [source.multivariate_hypergeometric([rows] * 25, total) for total in totals]
            true = np.array(hands).T
        return [truths_summary(layout, rows, second) for second in true.tolist()]

    found = judge(of, (look() for _ in range(looks)))
    return sum(not finding.has_ended for at in found for finding in at)


BURSTS = [
    pytest.param(100, 0.02, id="callers of 100 rows, correlation .02"),
    pytest.param(100, 0.1, id="callers of 100 rows, correlation .1"),
    pytest.param(20, 1, id="batches of 20 equal rows"),
]


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize(("rows", "alike"), BURSTS)
def test_bursts_of_one_caller_raise_no_alarm(rows: int, alike: float, share: float) -> None:
    assert bursty_alarms(rows, alike, share=share, looks=60, is_dealt=False) == 0


@pytest.mark.torture
@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize(("rows", "alike"), BURSTS)
def test_bursts_raise_no_alarm_in_many_looks(rows: int, alike: float, share: float) -> None:
    # At most one in a thousand looks is what the detector was made for.
    assert bursty_alarms(rows, alike, share=share, looks=2000, is_dealt=False) <= 2


@pytest.mark.parametrize(("rows", "alike"), BURSTS[1:])
def test_the_same_rows_would_raise_alarms_if_they_passed_for_independent(
    rows: int, alike: float
) -> None:
    assert bursty_alarms(rows, alike, share=0.5, looks=20, is_dealt=True) > 0


def test_one_large_batch_of_equal_rows_is_no_change() -> None:
    traffic, looks = Traffic(15), []
    for number in range(12):
        blocks = traffic.look()
        if number % 3 == 2:
            blocks[number] = merge(blocks[number], traffic.batch(100))
        looks.append(blocks)
    assert not any(judge(detector(), looks))


def test_a_change_is_found_through_bursts() -> None:
    layout = Layout.of(truths(share=0.5))
    of = Detector(layout, average_run_length=1000)
    source = np.random.default_rng(16)
    looks = []
    for number in range(24):
        share = 0.5 if number < 4 else 0.75
        seconds = [[true_calls(source, share, 20, 0.1) for _ in layout.features] for _ in range(25)]
        looks.append([truths_summary(layout, 20, second) for second in seconds])
    found = judge(of, looks)
    assert not any(found[:4])
    assert len({finding.input for at in found for finding in at}) == 30
