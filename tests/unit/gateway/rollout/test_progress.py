"""How far evidence has come: at 1 exactly where the verdict is said."""

from math import log

import pytest

from gateway.rollout.levels import Levels
from gateway.rollout.progress import Progress, progress
from registry.rollouts import Better, Guard, GuardKind, Judgement, Verdict

LEVELS = Levels(worse=0.01, fine=0.025)
ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)


def of_rate(worse: float | None, fine: float | None) -> Progress:
    judgement = Judgement(
        guard=ERRORS, verdict=Verdict.UNDECIDED, challenger=9, champion=9,
        evidence_worse=worse, evidence_fine=fine,
    )  # fmt: skip
    return progress(judgement, LEVELS)


def of_mean(low: float, high: float, better: Better) -> Progress:
    guard = Guard(kind=GuardKind.SCORE, margin=0.5, output="y", better=better)
    judgement = Judgement(
        guard=guard, verdict=Verdict.UNDECIDED, challenger=9, champion=9, low=low, high=high
    )
    return progress(judgement, LEVELS)


def test_an_e_value_has_come_as_far_as_its_logarithm() -> None:
    assert of_rate(log(100), log(40) / 4) == Progress(worse=1.0, fine=0.25)
    assert of_rate(-3.0, 99.0) == Progress(worse=0.0, fine=1.0)
    assert of_rate(None, None) == Progress(worse=None, fine=None)


@pytest.mark.parametrize(
    ("low", "high", "better", "worse", "fine"),
    [
        (-0.5, 0.1, Better.HIGHER, 2 / 3, 1.0),
        (-1.0, 1.0, Better.HIGHER, 0.0, 0.5),
        (-0.9, 0.0, Better.HIGHER, 1.0, 1 / 9),
        (0.0, 0.9, Better.LOWER, 1.0, 1 / 9),
        (-0.1, 0.5, Better.LOWER, 2 / 3, 1.0),
        (-0.4, 0.5, Better.EQUAL, 1 / 9, 1.0),
        (0.0, 2.0, Better.EQUAL, 1.0, 0.0),
        (0.0, 0.0, Better.EQUAL, 0.0, 1.0),
    ],
)
def test_an_interval_has_come_to_its_limit_where_its_end_touches_it(
    low: float, high: float, better: Better, worse: float, fine: float
) -> None:
    found = of_mean(low, high, better)
    assert (found.worse, found.fine) == (pytest.approx(worse), pytest.approx(fine))
