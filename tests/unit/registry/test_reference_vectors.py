"""Long vectors are described by length and direction, alike for whoever counts them again."""

import ml_dtypes
import numpy as np
import pytest

from registry.distribution import Embedding
from registry.reference.embedding import DIRECTIONS, describe_vectors, directions
from registry.tensors import Tensor


def embedding(vectors: Tensor) -> Embedding:
    found, count = describe_vectors(vectors)
    assert found is not None
    assert count == len(vectors)
    return found


def normal(n: int, columns: int = 128) -> Tensor:
    return np.random.default_rng(6).normal(size=(n, columns)).astype(np.float32)


def test_directions_never_change() -> None:
    found = directions(0, 128)
    assert found.shape == (128, DIRECTIONS)
    assert np.sign(found[0, :8]).tolist() == [1, -1, -1, -1, 1, -1, -1, -1]
    assert np.linalg.norm(found, axis=0) == pytest.approx(1)


def test_directions_of_fewer_columns_are_the_beginning_of_those_of_more() -> None:
    assert np.array_equal(np.sign(directions(0, 70)), np.sign(directions(0, 128))[:70])


def test_directions_of_another_seed_are_others() -> None:
    agreed = np.mean(np.sign(directions(0, 500)) == np.sign(directions(1, 500)))
    assert agreed == pytest.approx(0.5, abs=0.02)


def test_half_of_the_rows_lie_beyond_each_threshold() -> None:
    found = embedding(normal(2000))
    assert found.columns == 128
    assert np.array(found.above) == pytest.approx(1000, abs=2)


def test_rows_are_counted_by_length() -> None:
    vectors = normal(2000)
    found = embedding(vectors)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    edges = [-np.inf, *found.norm_edges, np.inf]
    for low, high, count in zip(edges, edges[1:], found.norm_counts, strict=False):
        assert np.count_nonzero((lengths > low) & (lengths <= high)) == count
    assert max(found.norm_counts) < 2000 * 0.15


@pytest.mark.parametrize("scale", [1, 1000, 9.99, 1e-6, 1e30])
def test_rounding_moves_no_normalised_vector_to_another_bin(scale: float) -> None:
    vectors = normal(500)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = embedding(vectors * np.float32(scale))
    assert max(found.norm_counts) == 500
    position = found.norm_counts.index(500)
    low, high = found.norm_edges[position - 1 : position + 1]
    assert low < scale * (1 - 1e-4) < scale * (1 + 1e-4) < high


def test_rounding_moves_no_constant_vector_across_a_threshold() -> None:
    found = embedding(np.full((100, 128), 0.1, np.float32))
    assert found.above == (0,) * DIRECTIONS
    along = np.full(128, 0.1) @ directions(found.seed, 128)
    assert (np.array(found.thresholds) > along + 1e-7).all()


@pytest.mark.parametrize("value", [0, 1, -1e38])
def test_constant_vectors_are_described(value: float) -> None:
    found = embedding(np.full((10, 70), value, np.float32))
    assert sum(found.norm_counts) == 10


@pytest.mark.parametrize("numpy_type", [np.float16, np.float64, ml_dtypes.bfloat16, np.int8, bool])
def test_vectors_of_every_datatype_are_described(numpy_type: type[np.generic]) -> None:
    assert sum(embedding(normal(50).astype(numpy_type)).norm_counts) == 50


def test_a_vector_with_a_missing_element_is_not_counted() -> None:
    vectors = normal(10)
    vectors[3, 100] = np.nan
    found, count = describe_vectors(vectors)
    assert found is not None
    assert count == sum(found.norm_counts) == 9
