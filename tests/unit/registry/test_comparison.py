"""What counts as the same bits, as near, and as another answer."""

import math
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.audit.comparison import Distance, measure, measure_all
from registry.datatypes import Datatype
from registry.tensors import NUMPY_TYPES, Tensor


def fp32(*values: float) -> Tensor:
    return np.array(values, np.float32)


def nan_with(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


def of(recorded: Tensor, found: Tensor | None, *, has_classes: bool = False) -> Distance:
    return measure("y", recorded, found, has_classes=has_classes)


@pytest.mark.parametrize("datatype", list(Datatype))
def test_a_tensor_of_any_datatype_is_identical_to_its_copy_and_to_no_other(
    datatype: Datatype,
) -> None:
    numpy_type = NUMPY_TYPES[datatype]
    values: list[object] = ["a", "b", "", "Ü"] if datatype is Datatype.BYTES else [0, 1, 1, 0]
    tensor = np.array(values, numpy_type).reshape(2, 2)
    other = tensor.copy()
    other[1, 1] = "c" if datatype is Datatype.BYTES else 1

    assert of(tensor, tensor.copy()).is_identical
    distance = of(tensor, other)
    assert (distance.differing, distance.beyond, distance.elements) == (1, 1, 4)
    assert not distance.is_within


def test_texts_are_the_same_as_their_bytes() -> None:
    texts = np.array(["Ü", "x"], object)
    raw = np.array(["Ü".encode(), b"x"], object)

    assert of(raw, texts).is_identical
    assert of(raw, np.array(["U", "x"], object)).changed_labels == 1


def test_nan_is_compared_by_its_bits() -> None:
    quiet, other = nan_with(0x7FF8000000000000), nan_with(0x7FF8000000000001)

    assert of(np.array([quiet]), np.array([quiet])).is_identical
    distance = of(np.array([quiet]), np.array([other]))
    assert (distance.differing, distance.is_within, distance.max_absolute) == (1, True, None)
    assert of(np.array([quiet]), np.array([1.0])).beyond == 1


def test_infinities_are_near_nothing() -> None:
    assert of(fp32(math.inf), fp32(math.inf)).is_identical
    assert of(fp32(math.inf), fp32(-math.inf)).beyond == 1
    assert of(fp32(math.inf), fp32(3e38)).beyond == 1


def test_the_two_zeros_have_other_bits_and_no_distance() -> None:
    distance = of(fp32(0.0), fp32(-0.0))

    assert (distance.differing, distance.max_ulps, distance.max_absolute) == (1, 0, 0.0)
    assert distance.is_within


@pytest.mark.parametrize(
    ("numpy_type", "bits"),
    [
        (np.dtype(np.float16), np.uint16),
        (np.dtype(ml_dtypes.bfloat16), np.uint16),
        (np.dtype(np.float32), np.uint32),
        (np.dtype(np.float64), np.uint64),
    ],
)
@given(start=st.floats(-1000, 1000), steps=st.integers(1, 5))
def test_ulps_count_the_numbers_in_between(
    numpy_type: np.dtype[np.generic], bits: type[np.unsignedinteger], start: float, steps: int
) -> None:
    first = np.array([abs(start)], numpy_type)
    last = (first.view(bits) + bits(steps)).view(numpy_type)

    assert of(first, last).max_ulps == steps
    assert of(-first, -last).max_ulps == steps


def test_ulps_are_counted_across_zero() -> None:
    smallest = np.float64(5e-324)

    assert of(np.array([smallest]), np.array([-smallest])).max_ulps == 2
    extremes = of(np.array([-1.7e308]), np.array([1.7e308]))
    assert extremes.max_ulps is not None
    assert extremes.max_ulps > 2**63


@pytest.mark.parametrize(
    ("recorded", "found", "is_within"),
    [
        (1.0, 1.000009, True),
        (1.0, 1.00002, False),
        (1e6, 1e6 + 9, True),
        (1e6, 1e6 + 20, False),
        (1e-9, -1e-9, True),
    ],
)
def test_the_tolerance_is_relative_above_one_and_absolute_below(
    recorded: float, found: float, is_within: bool
) -> None:
    assert of(fp32(recorded), fp32(found)).is_within is is_within


def test_what_cannot_be_compared_says_why() -> None:
    recorded = np.zeros((2, 3), np.float32)

    assert of(recorded, None).mismatch == "there is no such output"
    assert of(recorded, np.zeros((2, 1), np.float32)).mismatch == "shape [2, 3] became [2, 1]"
    assert of(recorded, np.zeros((2, 3))).mismatch == "datatype FP32 became FP64"
    assert not of(recorded, None).is_within
    # Of no elements, too, another shape is another answer.
    empty = of(np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32))
    assert not empty.is_identical
    assert not empty.is_within


def test_classes_change_where_another_column_is_the_highest() -> None:
    recorded = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], np.float32)
    found = np.array([[0.3, 0.7], [0.4, 0.6], [0.5, 0.5]], np.float32)

    assert of(recorded, found, has_classes=True).changed_labels == 1
    assert of(recorded, found).changed_labels is None
    assert of(np.array([3, 4]), np.array([3, 5])).changed_labels == 1


def test_only_recorded_outputs_are_measured() -> None:
    found = {"a": fp32(1), "b": fp32(2)}

    assert [one.output for one in measure_all({"b": fp32(2)}, found)] == ["b"]
