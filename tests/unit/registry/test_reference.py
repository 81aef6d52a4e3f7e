"""Every input and output gets the description of its kind, and the same one each time."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.distribution import (
    Categorical,
    Discrete,
    Embedding,
    Feature,
    FreeText,
    HighCardinality,
    Numeric,
    Reference,
)
from registry.errors import Rejected
from registry.reference import derive_reference
from registry.tensors import Tensor

columns_of_numbers = arrays.arrays(
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 200),
    elements=st.one_of(st.just(np.nan), st.floats(width=32, allow_infinity=False)),
)


def only(tensor: Tensor) -> Feature:
    (feature,) = derive_reference({"x": tensor}).features
    return feature


def texts(*values: Any) -> Tensor:
    return np.array(values, object)


def mixed_table(n: int = 2000) -> dict[str, Tensor]:
    random = np.random.default_rng(3)
    return {
        "amount": random.lognormal(size=n).astype(np.float32),
        "matrix": random.normal(size=(n, 3)),
        "hour": random.integers(0, 24, n),
        "flag": random.random(n) < 0.2,
        "carrier": random.choice(np.array(["AA", "UA", "B6"], object), n),
        "place": np.array([f"place-{i % 700}" for i in range(n)], object),
        "note": np.array([f"the bag {i % 500} was not on the belt" for i in range(n)], object),
        "vector": random.normal(size=(n, 80)).astype(np.float32),
    }


@settings(derandomize=True)
@given(columns_of_numbers)
def test_a_reference_survives_being_stored(values: Tensor) -> None:
    reference = derive_reference({"x": values, "y": values[::-1]}, outputs={"z": values})
    assert msgspec.json.decode(msgspec.json.encode(reference), type=Reference) == reference


def test_a_reference_that_was_stored_by_an_earlier_release_is_read() -> None:
    stored = b"""{"rows": 50, "features": [
        {"input": "x", "count": 49, "missing": 1, "column": 0, "distribution": {"type": "numeric",
            "minimum": 0.0, "maximum": 1.0, "mean": 0.5, "std": 0.1, "edges": [0.5],
            "bin_counts": [25, 24]}},
        {"input": "c", "count": 50, "missing": 0, "distribution": {"type": "categorical",
            "values": ["a"], "counts": [45], "other": 5}, "column": null},
        {"input": "y", "count": 0, "missing": 50, "distribution": null, "column": null}]}"""
    found = msgspec.json.decode(stored, type=Reference)
    assert found.features[0].distribution == Numeric(
        minimum=0, maximum=1, mean=0.5, std=0.1, edges=(0.5,), bin_counts=(25, 24)
    )
    assert (found.joint, found.output_rows, found.outputs) == (None, 0, ())


def test_every_input_is_described_by_its_kind() -> None:
    reference = derive_reference(mixed_table())
    kinds = {(f.input, f.column): type(f.distribution) for f in reference.features}
    assert kinds == {
        ("amount", None): Numeric,
        ("matrix", 0): Numeric,
        ("matrix", 1): Numeric,
        ("matrix", 2): Numeric,
        ("hour", None): Discrete,
        ("flag", None): Discrete,
        ("carrier", None): Categorical,
        ("place", None): HighCardinality,
        ("note", None): FreeText,
        ("vector", None): Embedding,
    }
    assert reference.joint is not None
    assert reference.joint.features == (0, 1, 2, 3, 4, 5)


def test_each_column_of_a_matrix_is_a_feature() -> None:
    features = derive_reference({"x": np.array([[1.0, 10.0], [np.nan, 20.0]])}).features
    assert [(f.column, f.count, f.missing) for f in features] == [(0, 1, 1), (1, 2, 0)]


def test_a_matrix_of_one_column_is_one_feature_without_a_column() -> None:
    assert only(np.ones((3, 1))).column is None


def test_up_to_64_columns_are_features_of_their_own_and_more_are_one_vector() -> None:
    assert len(derive_reference({"x": np.ones((3, 64))}).features) == 64
    wide = only(np.ones((3, 65)))
    assert (type(wide.distribution), wide.column) == (Embedding, None)


def test_columns_of_texts_are_features_however_many_they_are() -> None:
    assert len(derive_reference({"x": np.full((3, 65), "a", object)}).features) == 65


def test_a_vector_with_a_missing_element_is_missing() -> None:
    vectors = np.ones((5, 70), np.float32)
    vectors[1, 3] = np.nan
    feature = only(vectors)
    assert (feature.count, feature.missing) == (4, 1)
    assert only(np.full((2, 70), np.nan)).distribution is None


def test_a_text_is_missing_where_it_is_none_nan_or_empty() -> None:
    feature = only(texts("a", None, "", float("nan"), b"a"))
    assert (feature.count, feature.missing) == (2, 3)


def test_a_column_with_nothing_present_has_no_distribution() -> None:
    assert only(np.full(4, np.nan)).distribution is None
    assert only(texts(None, "")).distribution is None


@pytest.mark.parametrize("value", [np.ones(1), np.array([True]), texts("a"), np.ones((1, 70))])
def test_one_row_is_described(value: Tensor) -> None:
    feature = only(value)
    assert feature.count == 1
    assert feature.distribution is not None


def test_outputs_are_described_as_inputs_are() -> None:
    n = 300
    scores = np.linspace(0, 1, 2 * n, dtype=np.float32).reshape(n, 2)
    reference = derive_reference(
        {"x": np.ones(5)},
        outputs={
            "label": np.arange(n) % 3,
            "name": np.array(["late", "on time", "on time"] * (n // 3), object),
            "scores": scores,
        },
    )
    assert reference.output_rows == n
    found = [(f.input, f.column, type(f.distribution)) for f in reference.outputs]
    assert found == [
        ("label", None, Discrete),
        ("name", None, Categorical),
        ("scores", 0, Numeric),
        ("scores", 1, Numeric),
    ]
    assert reference.outputs[0].distribution == Discrete(values=(0, 1, 2), counts=(100,) * 3)


def test_what_an_output_has_that_is_not_finite_is_missing() -> None:
    outputs = {
        "a": np.array([1.5, np.inf, np.nan, -np.inf], np.float32),
        "b": np.array([1, np.inf, 2, 3], ml_dtypes.bfloat16),
    }
    found = derive_reference({"x": np.ones(2)}, outputs=outputs).outputs
    assert [(f.count, f.missing) for f in found] == [(1, 3), (3, 1)]


def test_outputs_of_other_dimensions_are_left_out() -> None:
    outputs = {"boxes": np.ones((4, 5, 6)), "loss": np.array(1.0)}
    reference = derive_reference({"x": np.ones(2)}, outputs=outputs)
    assert (reference.output_rows, reference.outputs) == (0, ())


@pytest.mark.parametrize(
    "tensor",
    [
        np.array([1.0, np.inf]),
        np.full((2, 70), np.inf),
        texts("a", 1),
        texts(b"\xff"),
        np.zeros((2, 2, 2)),
        np.zeros(0),
        np.zeros(2, complex),
        np.float64(1.0),
    ],
    ids=[
        "infinite",
        "infinite vector",
        "mixed",
        "not UTF-8",
        "three dimensions",
        "no rows",
        "complex",
        "scalar",
    ],
)
def test_what_has_no_distribution_is_rejected(tensor: Tensor) -> None:
    with pytest.raises(Rejected) as refusal:
        derive_reference({"x": np.asarray(tensor)})
    assert refusal.value.check == "reference"


def test_tensors_of_different_lengths_are_rejected() -> None:
    with pytest.raises(Rejected, match="inputs of one equal length"):
        derive_reference({"x": np.zeros(2), "y": np.zeros(3)})
    with pytest.raises(Rejected, match="outputs of one equal length"):
        derive_reference({"x": np.zeros(2)}, outputs={"a": np.zeros(2), "b": np.zeros(3)})


def test_the_same_data_give_the_same_bytes_in_every_process() -> None:
    program = (
        "import hashlib, msgspec; from tests.unit.registry.test_reference import mixed_table;"
        "from registry.reference import derive_reference;"
        "print(hashlib.sha256(msgspec.json.encode(derive_reference(mixed_table()))).hexdigest())"
    )
    here = hashlib.sha256(msgspec.json.encode(derive_reference(mixed_table()))).hexdigest()
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == here
