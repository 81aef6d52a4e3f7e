import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from gateway.truth.ranking import rank
from gateway.truth.scoring import Scored, Unscorable, score_row
from gateway.truth.tensors import read_rows
from registry.datatypes import Datatype
from registry.rollouts import Better, MetricKind
from registry.tensors import NUMPY_TYPES, encode_tensors
from registry.truth_policy import Form, metrics_of
from tests.unit.gateway.truth.rows import calibrated, scored, target

THREE = target(Form.PROBABILITIES, classes=("a", "b", "c"))
TWO = target(Form.PROBABILITIES, classes=("no", "yes"))


@given(
    datatype=st.sampled_from([one for one in Datatype if one is not Datatype.BYTES]),
    seed=st.integers(0, 2**32),
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=3),
)
def test_tensors_read_without_numpy_as_with_it(
    datatype: Datatype, seed: int, shape: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    kind = NUMPY_TYPES[datatype]
    raw = rng.integers(0, 2 if datatype is Datatype.BOOL else 256, (*shape, kind.itemsize))
    tensor = raw.astype(np.uint8).reshape(-1).view(kind).reshape(shape)

    found = read_rows(encode_tensors({"other": tensor[:0], "y": tensor}), {"y"})

    assert found.keys() == {"y"}
    assert (found["y"].count, found["y"].width) == (shape[0], math.prod(shape[1:]))
    wanted = tensor.astype(np.float32) if datatype is Datatype.BF16 else tensor
    assert repr(found["y"].elements) == repr(wanted.ravel().tolist())


def test_texts_are_read_and_a_row_that_is_not_there_is_empty() -> None:
    found = read_rows(encode_tensors({"y": np.array(["ä", "", "b"], object)}), {"y"})["y"]

    assert [found.row(number) for number in range(4)] == [["ä"], [""], ["b"], []]
    with pytest.raises(ValueError, match="canonical"):
        read_rows(b"\x01", {"y"})


@pytest.mark.parametrize(
    ("one", "said", "label", "values"),
    [
        (target(), [0.8], 1, (1, 0.04, -math.log(0.8))),
        (target(), [0.5], 0, (0, 0.25, -math.log(0.5))),
        (target(threshold=0.9), [0.8], 1, (0, 0.04, -math.log(0.8))),
        (TWO, [0.2, 0.8], "yes", (1, 0.04, -math.log(0.8))),
        (TWO, [0.2, 0.8], "no", (0, 0.64, -math.log(0.2))),
        (THREE, [0.5, 0.3, 0.2], "a", (1, 0.25 + 0.09 + 0.04, -math.log(0.5))),
        (THREE, [0.5, 0.3, 0.2], "c", (0, 0.25 + 0.09 + 0.64, -math.log(0.2))),
        (target(Form.CLASS), ["red"], "red", (1,)),
        (target(Form.CLASS), [3], "4", (0,)),
        (target(Form.CLASS), [True], "1", (1,)),
        (target(Form.NUMBER), [2.5], 4.0, (1.5, 2.25)),
        (target(Form.NUMBER, column=0), [2.5, 7.0], 2.0, (0.5, 0.25)),
    ],
)  # fmt: skip
def test_a_row_is_scored_by_each_metric_of_its_target(
    one: Any, said: list[Any], label: Any, values: tuple[float, ...]
) -> None:
    found = score_row(one, said, label)

    assert isinstance(found, Scored)
    assert found.values == pytest.approx(values)
    assert len(metrics_of(one)) == len(values)


@pytest.mark.parametrize(
    ("one", "said", "label", "why"),
    [
        (TWO, [0.2, 0.8], "perhaps", Unscorable.LABEL),
        (target(Form.PROBABILITIES), [0.2, 0.8], 2, Unscorable.LABEL),
        (target(), [], 1, Unscorable.NO_OUTPUT),
        (target(), [math.nan], 1, Unscorable.NOT_A_SCORE),
        (target(), [1.7], 1, Unscorable.NOT_A_SCORE),
        (THREE, [0.5, -3.0, 0.2], "a", Unscorable.NOT_A_SCORE),
        (target(Form.NUMBER), [math.inf], 1.0, Unscorable.NOT_A_SCORE),
        (target(Form.NUMBER), [1.0], -1e300, Unscorable.NOT_A_SCORE),
        (target(Form.NUMBER, column=3), [1.0], 1.0, Unscorable.NOT_A_SCORE),
    ],
)
def test_what_cannot_be_scored_says_why(
    one: Any, said: list[Any], label: Any, why: Unscorable
) -> None:
    assert score_row(one, said, label) is why


def test_scores_of_two_classes_are_those_of_sklearn() -> None:
    rows = calibrated(2_000, seed=5, shift=0.4)
    truth = [row.is_positive for row in rows]
    said = [row.score for row in rows]

    means = [sum(row.values[place] for row in rows) / len(rows) for place in range(3)]

    assert means[1] == pytest.approx(brier_score_loss(truth, said))
    assert means[2] == pytest.approx(log_loss(truth, said))
    found = rank(rows)
    assert found is not None
    assert found.auc == pytest.approx(roc_auc_score(truth, said))


def test_a_wrong_certainty_is_clipped() -> None:
    assert scored(0.0, is_positive=True).values[2] == pytest.approx(-math.log(1e-6))


def test_ties_rank_half_and_one_class_ranks_nothing() -> None:
    rows = [scored(0.5, bool(number % 2)) for number in range(20)]

    found = rank(rows)

    assert found is not None
    assert found.auc == 0.5
    assert rank([scored(0.5, is_positive=True)] * 9) is None


def test_the_interval_of_a_ranking_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(2)
    held = 0
    for _ in range(300):
        rows = [scored(_logistic(rng.gauss(1.0)), is_positive=True) for _ in range(60)]
        rows += [scored(_logistic(rng.gauss(0.0)), is_positive=False) for _ in range(90)]
        found = rank(rows)
        assert found is not None
        # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
        held += found.interval.low <= 0.76025 <= found.interval.high
    assert 0.91 <= held / 300 <= 0.98


def test_less_is_better_of_every_loss() -> None:
    better = {kind: kind.better for kind in MetricKind}

    assert better.pop(MetricKind.ACCURACY) is Better.HIGHER
    assert set(better.values()) == {Better.LOWER}


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))
