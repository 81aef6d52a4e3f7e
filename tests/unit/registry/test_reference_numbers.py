"""Numbers are counted in the bins that the records say, spikes apart, few values one by one."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.distribution import Discrete, Numeric
from registry.reference import derive_reference, quantile
from registry.reference.numeric import MOST_VALUES, moments
from registry.tensors import Tensor

numbers = arrays.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    st.integers(1, 200),
).filter(lambda values: not np.isinf(values).any())


def described(tensor: Tensor) -> Numeric | Discrete:
    (feature,) = derive_reference({"x": tensor}).features
    assert isinstance(feature.distribution, Numeric | Discrete)
    return feature.distribution


def numeric(tensor: Tensor) -> Numeric:
    found = described(tensor)
    assert isinstance(found, Numeric)
    return found


def bin_of(found: Numeric, value: float) -> int:
    return int(np.searchsorted(found.edges, value))


@settings(derandomize=True)
@given(numbers)
def test_every_row_is_counted_once_as_present_in_its_bin_or_as_missing(values: Tensor) -> None:
    (feature,) = derive_reference({"x": values}).features
    found = feature.distribution
    assert feature.missing == np.isnan(values).sum()
    assert feature.count + feature.missing == len(values)
    present = values[~np.isnan(values)].astype(np.float64)
    if isinstance(found, Numeric):
        edges = [-np.inf, *found.edges, np.inf]
        for low, high, count in zip(edges, edges[1:], found.bin_counts, strict=False):
            assert np.count_nonzero((present > low) & (present <= high)) == count
        assert sum(found.bin_counts) == feature.count
    elif isinstance(found, Discrete):
        assert [np.count_nonzero(present == value) for value in found.values] == [*found.counts]
        assert sum(found.counts) == feature.count
    else:
        assert feature.count == 0


@settings(derandomize=True)
@given(numbers)
def test_edges_ascend_and_each_spike_is_alone_in_its_bin(values: Tensor) -> None:
    (feature,) = derive_reference({"x": values}).features
    found = feature.distribution
    if isinstance(found, Numeric):
        assert list(found.edges) == sorted(set(found.edges))
        assert np.isfinite(found.edges).all()
        present = values[~np.isnan(values)].astype(np.float64)
        for spike in found.spikes:
            in_its_bin = present[np.searchsorted(found.edges, present) == bin_of(found, spike)]
            assert set(in_its_bin.tolist()) == {spike}


@settings(derandomize=True)
@given(arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_infinity=False)))
def test_the_moments_of_huge_values_are_finite_and_in_range(values: Tensor) -> None:
    found = derive_reference({"x": values}).features[0].distribution
    if isinstance(found, Numeric):
        assert np.isfinite(found.std)
        slack = 1e-12 * max(abs(found.minimum), abs(found.maximum))
        assert found.minimum - slack <= found.mean <= found.maximum + slack


def test_distinct_values_fill_twenty_equal_bins() -> None:
    found = numeric(np.random.default_rng(1).permutation(np.arange(1.0, 101.0)))
    assert found.edges == tuple(range(5, 100, 5))
    assert found.bin_counts == (5,) * 20
    assert (found.minimum, found.maximum, found.mean) == (1.0, 100.0, 50.5)
    assert found.std == pytest.approx(np.std(np.arange(1, 101)))
    assert (found.spikes, found.is_integer) == ((), True)


@pytest.mark.parametrize("numpy_type", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_the_edge_below_a_spike_is_the_next_smaller_number_of_its_datatype(
    numpy_type: type[np.generic],
) -> None:
    values = np.append(np.full(40, 1.5), np.linspace(0.0, 4.0, 160)).astype(numpy_type)
    found = numeric(values)
    below = np.nextafter(numpy_type(1.5), numpy_type(-np.inf))
    assert found.spikes == (1.5,)
    assert found.edges[bin_of(found, 1.5) - 1] == float(below)
    assert found.bin_counts[bin_of(found, 1.5)] >= 40


def test_the_edge_below_a_spike_of_integers_is_one_less() -> None:
    found = numeric(np.append(np.full(50, 7), np.arange(1000, 1100)))
    assert found.edges[:2] == (6, 7)
    assert found.bin_counts[:2] == (0, 50)


def test_spikes_at_both_ends_have_bins_of_their_own() -> None:
    found = numeric(np.concatenate([np.zeros(10), np.linspace(0.1, 0.9, 180), np.ones(10)]))
    assert found.spikes == (0.0, 1.0)
    assert found.bin_counts[bin_of(found, 0.0)] == found.bin_counts[bin_of(found, 1.0)] == 10
    assert found.bin_counts[0] == found.bin_counts[-1] == 0


def test_the_least_number_of_a_datatype_can_be_a_spike() -> None:
    least = -np.finfo(np.float64).max
    found = numeric(np.append(np.full(10, least), np.arange(100) + 0.5))
    assert found.edges[0] == least
    assert found.bin_counts[0] == 10


def test_a_value_that_occurs_once_is_no_spike_however_few_rows_there_are() -> None:
    assert numeric(np.array([0.5, 1.5, 2.5])).spikes == ()


def test_minus_zero_is_zero() -> None:
    found = numeric(np.append(np.full(10, -0.0), np.linspace(0.5, 1, 10)))
    assert found.spikes == (0.0,)
    assert not np.signbit(found.spikes[0])
    assert not np.signbit(found.minimum)


def test_booleans_are_zero_and_one_from_the_first_row_on() -> None:
    assert described(np.array([True, False, True, True])) == Discrete(values=(0, 1), counts=(1, 3))
    assert described(np.array([True])) == Discrete(values=(1,), counts=(1,))


@pytest.mark.parametrize("numpy_type", [np.int8, np.uint64, np.float32, np.float64])
def test_whole_numbers_of_few_values_are_counted_one_by_one(numpy_type: type[np.generic]) -> None:
    values = np.repeat([3, 1, 2], [30, 20, 50]).astype(numpy_type)
    assert described(values) == Discrete(values=(1, 2, 3), counts=(20, 50, 30))


def test_a_rare_value_does_not_make_few_values_many() -> None:
    found = described(np.append(np.repeat([1, 2], 1000), [9]))
    assert found == Discrete(values=(1, 2, 9), counts=(1000, 1000, 1))


def test_whole_numbers_of_many_values_or_few_rows_are_binned() -> None:
    many = numeric(np.repeat(np.arange(MOST_VALUES + 1), 100))
    few = numeric(np.arange(10))
    assert many.is_integer
    assert few.is_integer


def test_fractions_are_binned_however_few_their_values() -> None:
    found = numeric(np.repeat([0.5, 1.5], 500))
    assert (found.spikes, found.is_integer) == ((0.5, 1.5), False)


def test_integers_that_64_bits_of_a_float_cannot_tell_apart_are_binned() -> None:
    values = np.full(100, 2**60 + 1)
    assert numeric(values).is_integer


def test_a_constant_is_counted_in_one_place() -> None:
    assert described(np.zeros(100, np.float32)) == Discrete(values=(0,), counts=(100,))
    constant = numeric(np.full(100, 0.1, np.float32))
    assert constant.spikes == (constant.minimum,)
    assert constant.bin_counts == (0, 100, 0)
    assert constant.std == 0


def test_quartiles_are_read_exactly_however_edges_collapse() -> None:
    for values in ([0.5] * 30 + [1.0] * 69 + [5.0], list(range(37)), [3.0], [1, 2] * 50):
        ordered = np.sort(np.array(values, float))
        found = described(ordered)
        for share in (0, 0.25, 0.5, 0.75, 1):
            expected = ordered[max(0, int(np.ceil(share * ordered.size)) - 1)]
            assert quantile(found, share) == expected


def test_moments_of_counted_values_are_those_of_the_rows() -> None:
    values = np.repeat([-4, 0, 9], [30, 20, 50])
    assert moments(described(values)) == pytest.approx((values.mean(), values.std()))


def test_bf16_is_counted_as_the_numbers_it_holds() -> None:
    values = np.array([1.5, np.nan, -2], ml_dtypes.bfloat16)
    (feature,) = derive_reference({"x": values}).features
    assert (feature.count, feature.missing) == (2, 1)
    assert numeric(values).minimum == -2
