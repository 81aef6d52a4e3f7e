"""What is stored of the training side, and that it is counted as the records say."""

from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.distribution import LEAST_COUNT, Categorical, Feature, Numeric, Reference
from registry.errors import Rejected
from registry.reference import MOST_VALUES, derive_reference, quantile
from registry.tensors import Tensor

numbers = arrays.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 200),
    elements=st.one_of(st.just(np.nan), st.floats(width=32, allow_infinity=False)),
)


def only(tensor: Tensor) -> Feature:
    (feature,) = derive_reference({"x": tensor}).features
    return feature


def numeric(tensor: Tensor) -> Numeric:
    distribution = only(tensor).distribution
    assert isinstance(distribution, Numeric)
    return distribution


def texts(*values: Any) -> Tensor:
    return np.array(values, object)


@settings(derandomize=True)
@given(numbers)
def test_every_row_is_counted_once_as_present_in_its_bin_or_as_missing(values: Tensor) -> None:
    feature = only(values)
    assert feature.missing == np.isnan(values).sum()
    assert feature.count + feature.missing == len(values)
    if feature.distribution is None:
        assert feature.count == 0
        return
    assert isinstance(feature.distribution, Numeric)
    edges = [-np.inf, *feature.distribution.edges, np.inf]
    present = values[~np.isnan(values)]
    for low, high, count in zip(edges, edges[1:], feature.distribution.bin_counts, strict=False):
        assert np.count_nonzero((present > low) & (present <= high)) == count
    assert sum(feature.distribution.bin_counts) == feature.count


@settings(derandomize=True)
@given(numbers)
def test_a_reference_survives_being_stored(values: Tensor) -> None:
    reference = derive_reference({"x": values})
    assert msgspec.json.decode(msgspec.json.encode(reference), type=Reference) == reference


@settings(derandomize=True)
@given(arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_infinity=False)))
def test_the_moments_of_huge_values_are_finite_and_in_range(values: Tensor) -> None:
    feature = only(values)
    if isinstance(feature.distribution, Numeric):
        found = feature.distribution
        assert np.isfinite(found.std)
        slack = 1e-12 * max(abs(found.minimum), abs(found.maximum))
        assert found.minimum - slack <= found.mean <= found.maximum + slack


def test_distinct_values_fill_twenty_equal_bins() -> None:
    found = numeric(np.random.default_rng(1).permutation(np.arange(1.0, 101.0)))
    assert found.edges == tuple(range(5, 100, 5))
    assert found.bin_counts == (5,) * 20
    assert (found.minimum, found.maximum, found.mean) == (1.0, 100.0, 50.5)
    assert found.std == pytest.approx(np.std(np.arange(1, 101)))


def test_a_value_on_an_edge_belongs_to_the_bin_below() -> None:
    found = numeric(np.array([1.0] * 10 + [2.0] * 10))
    assert found.edges == (1.0, 2.0)
    assert found.bin_counts == (10, 10, 0)


def test_a_value_that_fills_several_twentieths_gives_one_edge() -> None:
    found = numeric(np.array([0.0] * 80 + list(range(1, 21)), np.float32))
    assert found.edges[0] == 0.0
    assert found.bin_counts[0] == 80
    assert len(set(found.edges)) == len(found.edges)


def test_quartiles_are_read_exactly_however_edges_collapse() -> None:
    for values in ([0.0] * 30 + [1.0] * 69 + [5.0], list(range(37)), [3.0]):
        ordered = np.sort(np.array(values, float))
        found = numeric(ordered)
        for share in (0.25, 0.5, 0.75):
            expected = ordered[int(np.ceil(share * ordered.size)) - 1]
            assert quantile(found, share) == expected


def test_booleans_count_as_zero_and_one() -> None:
    found = numeric(np.array([True, False, True, True]))
    assert (found.edges, found.bin_counts) == ((0.0, 1.0), (1, 3, 0))


def test_bf16_is_counted_as_the_numbers_it_holds() -> None:
    values = np.array([1.5, np.nan, -2], ml_dtypes.bfloat16)
    feature = only(values)
    assert (feature.count, feature.missing) == (2, 1)
    assert numeric(values).minimum == -2


def test_each_column_of_a_matrix_is_a_feature() -> None:
    features = derive_reference({"x": np.array([[1.0, 10.0], [np.nan, 20.0]])}).features
    assert [(f.column, f.count, f.missing) for f in features] == [(0, 1, 1), (1, 2, 0)]


def test_a_matrix_of_one_column_is_one_feature_without_a_column() -> None:
    assert only(np.ones((3, 1))).column is None


def test_texts_seen_often_are_kept_by_name_most_frequent_first() -> None:
    found = only(texts(*["b"] * 20, *["a"] * 20, *["c"] * 30, *["rare"] * (LEAST_COUNT - 1)))
    assert found.distribution == Categorical(
        values=("c", "a", "b"), counts=(30, 20, 20), other=LEAST_COUNT - 1
    )


def test_no_more_than_a_bounded_number_of_texts_is_kept() -> None:
    values = [f"v{i:03}" for i in range(MOST_VALUES + 5) for _ in range(LEAST_COUNT)]
    found = only(texts(*values)).distribution
    assert isinstance(found, Categorical)
    assert (len(found.values), found.other) == (MOST_VALUES, 5 * LEAST_COUNT)


def test_a_text_is_missing_where_it_is_none_nan_or_empty() -> None:
    feature = only(texts("a", None, "", float("nan"), b"a"))
    assert (feature.count, feature.missing) == (2, 3)


def test_a_column_with_nothing_present_has_no_distribution() -> None:
    assert only(np.full(4, np.nan)).distribution is None
    assert only(texts(None, "")).distribution is None


@pytest.mark.parametrize(
    "tensor",
    [
        np.array([1.0, np.inf]),
        texts("a", 1),
        texts(b"\xff"),
        np.zeros((2, 2, 2)),
        np.zeros(0),
        np.zeros(2, complex),
        np.float64(1.0),
    ],
    ids=["infinite", "mixed", "not UTF-8", "three dimensions", "no rows", "complex", "scalar"],
)
def test_what_has_no_distribution_is_rejected(tensor: Tensor) -> None:
    with pytest.raises(Rejected) as refusal:
        derive_reference({"x": np.asarray(tensor)})
    assert refusal.value.check == "reference"


def test_inputs_of_different_lengths_are_rejected() -> None:
    with pytest.raises(Rejected, match="equal length"):
        derive_reference({"x": np.zeros(2), "y": np.zeros(3)})
