"""Repairs: which values become others, and that all else keeps every bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.datatypes import FLOATS, INTEGER_BOUNDS, Datatype
from registry.manifest import Action, Contract, Rule, RuleKind, Signature, TensorSpec
from registry.repairs import Repairs
from registry.tensors import NUMPY_TYPES, Tensor

NAN = float("nan")


def repaired(datatype: str, tensor: Any, *rules: Rule, shape: tuple[int, ...] = (-1,)) -> Tensor:
    spec = TensorSpec(name="x", datatype=Datatype(datatype), shape=shape)
    other = TensorSpec(name="other", datatype=Datatype.FP32, shape=(-1,))
    signature = Signature(inputs=(spec, other), outputs=())
    given = {
        "x": np.array(tensor, NUMPY_TYPES[spec.datatype]),
        "other": np.array([99], np.float32),
    }
    before = given["x"].copy()
    found = Repairs(signature, Contract(rules=rules)).apply(given)
    assert found["other"] is given["other"]
    assert list(found) == ["x", "other"]
    assert before.tobytes() == given["x"].tobytes() or spec.datatype is Datatype.BYTES
    assert found["x"].dtype == given["x"].dtype
    assert found["x"].shape == given["x"].shape
    return found["x"]


def clip(**limits: Any) -> Rule:
    return Rule(input="x", kind=RuleKind.RANGE, action=Action.CLIP, **limits)


def impute(value: float | str, column: int | None = None) -> Rule:
    return Rule(input="x", kind=RuleKind.MISSING, action=Action.IMPUTE, value=value, column=column)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_a_value_outside_becomes_the_nearest_bound(datatype: str) -> None:
    found = repaired(datatype, [-1, 0, 2, 5, np.inf, -np.inf, NAN], clip(low=0, high=4))
    assert found[:6].astype(float).tolist() == [0, 0, 2, 4, 4, 0]
    assert np.isnan(found[6])


def test_a_bound_of_an_integer_is_the_nearest_one_within() -> None:
    found = repaired("INT64", [-9, 0, 9, 2**62], clip(low=-1.5, high=3.5))
    assert found.tolist() == [-1, 0, 3, 3]


def test_only_ranges_that_clip_do() -> None:
    flag = Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, high=1)
    assert repaired("FP32", [5, 9], flag, clip(high=8)).tolist() == [5, 8]


def test_columns_are_clipped_to_bounds_of_their_own() -> None:
    rules = clip(column=0, high=1), clip(column=2, low=5), clip(low=0)
    found = repaired("FP32", [[-1, -2, -3], [7, 8, 9]], *rules, shape=(-1, 3))
    assert found.tolist() == [[0, 0, 5], [1, 8, 9]]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_a_missing_number_becomes_the_value_of_the_rule(datatype: str) -> None:
    found = repaired(datatype, [NAN, 1, -0.0], impute(2.5))
    assert found.astype(float).tolist() == [2.5, 1, 0]


def test_a_missing_text_becomes_the_value_of_the_rule_in_its_column() -> None:
    found = repaired("BYTES", [["", ""], ["a", "b"]], impute("none", column=1), shape=(-1, 2))
    assert found.tolist() == [["", "none"], ["a", "b"]]


def test_a_scalar_stays_one() -> None:
    assert repaired("FP32", 7, clip(high=1), shape=()).tolist() == 1


LIMITS = st.floats(-200, 200, width=16)


@given(st.data(), st.sampled_from([d for d in Datatype if d in FLOATS or d in INTEGER_BOUNDS]))
def test_clipping_moves_what_lies_outside_and_keeps_every_bit_within(
    data: st.DataObject, datatype: Datatype
) -> None:
    low, high = sorted(data.draw(st.tuples(LIMITS, LIMITS)))
    low, high = np.floor(max(low, 0)), np.ceil(max(high, 0))
    # A contract is refused that clips to what the datatype has no value of.
    assume(datatype in FLOATS or low <= INTEGER_BOUNDS[datatype][1])
    raw = data.draw(arrays.arrays(np.uint8, 16 * NUMPY_TYPES[datatype].itemsize))
    tensor = raw.view(NUMPY_TYPES[datatype])

    found = repaired(datatype.value, tensor, clip(low=float(low), high=float(high)))

    with np.errstate(invalid="ignore"):
        wide, limited = tensor.astype(np.float64), found.astype(np.float64)
    is_within = ~((wide < low) | (wide > high))
    assert found[is_within].tobytes() == tensor[is_within].tobytes()
    assert np.array_equal(limited[~is_within], np.clip(wide[~is_within], low, high))
    assert repaired(datatype.value, found, clip(low=low, high=high)).tobytes() == found.tobytes()
