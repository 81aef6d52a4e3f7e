"""The distance of a row says how unusual its numbers are together, on rows that come later too."""

import numpy as np
import pytest

from registry.distribution import Joint
from registry.reference import derive_reference
from registry.reference.joint import LEAST_ROWS_PER_FEATURE, MOST_FEATURES
from registry.tensors import Tensor


def joint(values: Tensor) -> Joint:
    found = derive_reference({"x": values}).joint
    assert found is not None
    return found


def whitening(found: Joint) -> Tensor:
    lower = np.zeros((len(found.features),) * 2)
    lower[np.tril_indices(len(found.features))] = found.whitening
    return lower


def distances(found: Joint, values: Tensor) -> Tensor:
    """Measure rows as a gateway does: by what is stored and nothing else."""
    centred = np.nan_to_num(values[:, list(found.features)] - np.array(found.mean), nan=0.0)
    return np.square(centred @ whitening(found).T).sum(axis=1)


def correlated(n: int, seed: int = 8) -> Tensor:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 5)) @ np.triu(np.ones((5, 5))) * [1, 10, 1e-3, 1e6, 1] + 1e3


def test_whitening_is_a_root_of_the_inverse_covariance() -> None:
    values = correlated(5000)
    lower = whitening(joint(values))
    expected = np.linalg.inv(np.cov(values, rowvar=False, ddof=0))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert lower.T @ lower / scale == pytest.approx(expected / scale, abs=1e-3)


def test_a_row_is_measured_from_all_others() -> None:
    values = np.random.default_rng(9).normal(size=(60, 3))
    left_out = []
    for i in range(len(values)):
        others = np.delete(values, i, axis=0)
        off = values[i] - others.mean(axis=0)
        left_out.append(off @ np.linalg.inv(np.cov(others, rowvar=False, ddof=0)) @ off)
    found = joint(values)
    assert found.edges[0] == pytest.approx(np.sort(left_out)[29], rel=1e-3)
    assert found.edges[-1] == pytest.approx(max(left_out), rel=1e-3)


def test_edges_are_quantiles_and_every_row_is_counted() -> None:
    found = joint(correlated(20_000))
    assert found.bin_counts == (10_000, 8000, 1800, 180, 18, 2)
    assert found.edges == tuple(sorted(found.edges))


@pytest.mark.parametrize("rows", [60, 500, 5000])
def test_as_many_later_rows_lie_beyond_an_edge_as_the_reference_says(rows: int) -> None:
    beyond = []
    for seed in range(20):
        later = distances(joint(correlated(rows, seed)), correlated(2000, seed + 1000))
        beyond.append(np.mean(later > joint(correlated(rows, seed)).edges[0]))
    assert np.mean(beyond) == pytest.approx(0.5, abs=0.03)


def test_values_that_are_usual_alone_and_unusual_together_lie_far_out() -> None:
    first = np.random.default_rng(10).normal(size=(5000, 1))
    found = joint(np.hstack([first, first + 0.1 * first[::-1]]))
    assert distances(found, np.array([[1.0, 1.0], [1.0, -1.0]])) == pytest.approx([1, 400], rel=0.3)


def test_features_that_say_the_same_are_held() -> None:
    values = correlated(1000)
    found = joint(np.hstack([values, values[:, :2], values[:, :1] * 2 - 5]))
    assert np.isfinite(found.whitening).all()
    assert np.isfinite(found.edges).all()


def test_a_missing_value_counts_as_the_mean() -> None:
    values = correlated(1000)
    values[::7, 1] = np.nan
    found = joint(values)
    assert sum(found.bin_counts) == 1000
    assert distances(found, np.full((1, 5), np.nan)) == 0


def test_texts_and_constants_and_huge_values_are_left_out() -> None:
    n = 100
    random = np.random.default_rng(11)
    reference = derive_reference(
        {
            "text": np.array(["a"] * n, object),
            "constant": np.ones(n),
            "a": random.normal(size=n),
            "huge": random.normal(size=n) * 1e300,
            "few": random.integers(0, 3, n),
            "absent": np.full(n, np.nan),
            "b": random.normal(size=n).astype(np.float32),
        }
    )
    assert reference.joint is not None
    assert reference.joint.features == (2, 4, 6)


def test_no_more_than_a_bounded_number_of_features_is_joined() -> None:
    columns = np.random.default_rng(12).normal(size=(3000, 5, 60))
    reference = derive_reference({f"x{i}": columns[:, i] for i in range(5)})
    assert reference.joint is not None
    assert reference.joint.features == tuple(range(MOST_FEATURES))


def test_one_feature_and_few_rows_have_no_joint_distance() -> None:
    assert derive_reference({"x": correlated(100)[:, :1]}).joint is None
    least = LEAST_ROWS_PER_FEATURE * 5
    assert derive_reference({"x": correlated(least - 1)}).joint is None
    assert derive_reference({"x": correlated(least)}).joint is not None


def test_one_row_far_from_all_others_has_a_distance() -> None:
    values = correlated(1000)
    values[0] = 1e30
    found = joint(values)
    assert np.isfinite(found.edges).all()
    assert found.edges[-1] > 1000 * found.edges[-2]
