import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gateway.truth.expected import expect
from gateway.truth.scoring import Scored
from gateway.truth.slices import MISSING, OTHER, Part, SlicedRow, compare_parts, slice_value
from registry.rollouts import MetricKind
from registry.truth_policy import Slice, TruthPolicy
from tests.unit.gateway.truth.rows import numbers, scored

BY_SITE = TruthPolicy(slices=(Slice(name="site"),))


def at_site(site: str, rows: list[Scored]) -> list[SlicedRow]:
    return [SlicedRow(one, (site,)) for one in rows]


def drawn(rng: np.random.Generator, count: int, right: float) -> list[Scored]:
    """Rows of two classes, half of them positive, of which a share is right."""
    return [
        scored(0.9 if is_right == is_positive else 0.1, is_positive)
        for number, is_right in enumerate((rng.random(count) < right).tolist())
        for is_positive in [bool(number % 2)]
    ]


def compared(rows: list[SlicedRow], metric: MetricKind = MetricKind.ACCURACY) -> dict[str, Part]:
    return {one.value: one for one in compare_parts(rows, BY_SITE, metric)}


@pytest.mark.parametrize(
    ("one", "inputs", "told", "value"),
    [
        (Slice(name="site"), {}, {"site": "A"}, "A"),
        (Slice(name="site"), {}, {}, MISSING),
        (Slice(name="c", input="c"), {"c": ["AA"]}, {}, "AA"),
        (Slice(name="c", input="c"), {"c": [""]}, {}, MISSING),
        (Slice(name="c", input="c"), {}, {}, MISSING),
        (Slice(name="x", input="x", column=1), {"x": [1.0, 2.0]}, {}, "2"),
        (Slice(name="x", input="x", column=5), {"x": [1.0, 2.0]}, {}, MISSING),
        (Slice(name="x", input="x", edges=(1.0, 5.0)), {"x": [1.0]}, {}, "≤ 1"),
        (Slice(name="x", input="x", edges=(1.0, 5.0)), {"x": [1.5]}, {}, "1 to 5"),
        (Slice(name="x", input="x", edges=(1.0, 5.0)), {"x": [6]}, {}, "> 5"),
        (Slice(name="x", input="x", edges=(1.0, 5.0)), {"x": [math.nan]}, {}, MISSING),
    ],
)
def test_a_slice_says_what_an_input_is_or_what_came_with_the_label(
    one: Slice, inputs: dict[str, list[Any]], told: dict[str, str], value: str
) -> None:
    assert slice_value(one, inputs, told) == value


def test_a_part_that_is_worse_is_told_beside_the_rest() -> None:
    rng = np.random.default_rng(1)
    rows = at_site("A", drawn(rng, 1_000, 0.9)) + at_site("B", drawn(rng, 400, 0.75))

    part = compared(rows)["B"]

    accuracy, sensitivity, fall_out = part.measures
    assert (accuracy.rows, sensitivity.rows + fall_out.rows) == (400, 400)
    assert accuracy.value < 0.8 < 0.88 < (accuracy.rest or 0)
    assert accuracy.interval.low < accuracy.value < accuracy.interval.high
    assert accuracy.differs
    assert part.positives == 200
    assert 0 < (part.says_positive or 0) < 1


def test_the_p_value_of_two_shares_is_that_of_a_chi_square_test() -> None:
    rng = np.random.default_rng(2)
    rows = at_site("A", drawn(rng, 700, 0.9)) + at_site("B", drawn(rng, 300, 0.85))
    policy = TruthPolicy(slices=(Slice(name="site"),), least_positives=1)

    # Two parts are each other's rest, so both have the same p value, and adjusting keeps the least.
    found = compare_parts(rows, policy, MetricKind.ACCURACY)
    right = {s: [r.scored.values[0] for r in rows if r.values == (s,)] for s in "AB"}
    table = [[of.count(0), of.count(1)] for of in right.values()]
    wanted = stats.chi2_contingency(table, correction=False).pvalue

    first = found[0].measures[0].p_adjusted
    assert first is not None
    assert first >= wanted - 1e-12
    assert found[0].measures[0].p_adjusted == found[1].measures[0].p_adjusted


def test_few_rows_or_few_of_a_class_are_insufficient_and_nothing_is_measured() -> None:
    rng = np.random.default_rng(3)
    negatives = [scored(0.1, is_positive=False) for _ in range(300)]
    rows = at_site("A", drawn(rng, 500, 0.9)) + at_site("B", drawn(rng, 199, 0.9))
    rows += at_site("C", negatives)

    found = compared(rows)

    assert [found[site].insufficient for site in "ABC"] == [False, True, True]
    assert found["B"].measures == found["C"].measures == ()
    assert [found[site].rows for site in "ABC"] == [500, 199, 300]


def test_of_many_parts_alike_few_are_said_to_differ() -> None:
    rng = np.random.default_rng(4)
    with_any = 0
    for _ in range(40):
        rows = [row for site in "ABCDEFGHIJ" for row in at_site(site, drawn(rng, 200, 0.9))]
        with_any += any(m.differs for part in compared(rows).values() for m in part.measures)
    assert with_any <= 5


def test_a_part_of_numbers_is_held_against_the_rest_by_its_mean() -> None:
    rng = np.random.default_rng(5)
    here, there = rng.normal(1, 0.1, 300), rng.normal(1.2, 0.1, 300)
    rows = at_site("A", numbers(here.tolist())) + at_site("B", numbers(there.tolist()))

    part = compared(rows, MetricKind.ABSOLUTE_ERROR)["B"]

    [measure] = part.measures
    assert measure.value == pytest.approx(abs(there).mean())
    assert measure.rest == pytest.approx(abs(here).mean())
    assert measure.differs
    assert part.positives is None


def test_values_beyond_the_most_frequent_are_taken_together() -> None:
    rows = [row for n in range(30) for row in at_site(f"s{n}", numbers([1.0] * (40 - n)))]

    found = compared(rows, MetricKind.ABSOLUTE_ERROR)

    assert len(found) == 21
    assert found[OTHER].rows == sum(40 - n for n in range(20, 30))
    assert sum(one.rows for one in found.values()) == len(rows)


def test_a_shift_of_scores_moves_what_is_expected() -> None:
    rng = np.random.default_rng(6)
    rows = [scored(0.55, bool(d < 0.55)) for d in rng.random(500)]
    rows += [scored(0.95, bool(d < 0.95)) for d in rng.random(500)]

    even = expect(MetricKind.ACCURACY, 0, rows, (0.7,), (500, 500))
    shifted = expect(MetricKind.ACCURACY, 0, rows, (0.7,), (900, 100))

    assert even is not None
    assert shifted is not None
    assert even.value == pytest.approx(sum(r.values[0] for r in rows) / 1_000)
    assert shifted.value == pytest.approx(0.9 * 0.55 + 0.1 * 0.95, abs=0.04)
    assert shifted.interval is not None
    assert shifted.interval.low < shifted.value < shifted.interval.high
    assert shifted.assumes == "expected if the relation still holds"


def test_rows_in_bins_that_no_label_knows_leave_nothing_to_expect() -> None:
    rows = [scored(0.55, is_positive=True)] * 100

    found = expect(MetricKind.ACCURACY, 0, rows, (0.7,), (80, 20))

    assert found is not None
    assert (found.value, found.interval, found.covered) == (None, None, 0.8)
    assert expect(MetricKind.ACCURACY, 0, rows, (0.7,), (0, 0)) is None
