"""Metrics agree with scikit-learn and scipy, and their intervals with a definition by force."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from registry.errors import Rejected
from registry.publishing.metrics import (
    accuracy,
    area_under_roc,
    mean_absolute_error,
    wilson_interval,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (1, 3), (900, 1000), (77_123, 100_000)])
def test_the_interval_of_a_share_is_wilsons(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_accuracy_is_the_share_of_equal_labels() -> None:
    metric = accuracy(np.array(["a", "b", "b", "a"]), np.array(["a", "b", "a", "a"], object))
    assert (metric.value, metric.n) == (0.75, 4)
    assert metric.low < 0.75 < metric.high


def test_the_area_and_its_error_meet_their_definitions_with_ties() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + positive, 1)
    metric = area_under_roc(scores, positive)
    assert metric.value == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    wins = np.sign(scores[positive][:, None] - scores[~positive][None, :]) / 2 + 0.5
    m, n = wins.shape
    error = np.sqrt(wins.mean(1).var(ddof=1) / m + wins.mean(0).var(ddof=1) / n)
    assert (metric.high - metric.low) / 2 == pytest.approx(1.959964 * error, rel=1e-6)


def test_the_interval_of_the_area_covers_the_truth_as_often_as_it_says() -> None:
    rng, truth, covered = np.random.default_rng(7), stats.norm.cdf(1 / np.sqrt(2)), 0
    for _ in range(400):
        positive = np.arange(200) < 60
        metric = area_under_roc(rng.normal(size=200) + positive, positive)
        covered += metric.low <= truth <= metric.high
    assert 0.92 <= covered / 400 <= 0.98


def test_the_mean_absolute_error_has_the_interval_of_a_mean() -> None:
    truth = np.zeros(100)
    metric = mean_absolute_error(np.arange(100.0), truth)
    assert metric.value == 49.5
    assert metric.high - metric.value == pytest.approx(
        1.959964 * np.std(np.arange(100), ddof=1) / 10, rel=1e-6
    )
    assert mean_absolute_error(np.ones(1), np.zeros(1)).low == 1.0


def test_what_cannot_be_measured_is_rejected() -> None:
    with pytest.raises(Rejected, match="equal length"):
        accuracy(np.ones(2), np.ones(3))
    with pytest.raises(Rejected, match="above zero"):
        accuracy(np.ones(0), np.ones(0))
    with pytest.raises(Rejected, match="two rows of each class"):
        area_under_roc(np.arange(3.0), np.array([True, False, False]))
