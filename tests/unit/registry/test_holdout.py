"""A model answers held-out rows as it would answer them in service."""

import numpy as np
import pytest
from onnx import helper

from registry.errors import Rejected
from registry.publishing.holdout import answer_rows
from tests.builders import identity_model, linear_model, make_model


def test_every_row_has_its_answer_in_its_order() -> None:
    rows = np.arange(7500, dtype=np.float32).reshape(2500, 3)
    answers = answer_rows(linear_model(), {"x": rows}, "holdout")
    assert list(answers) == ["y"]
    assert np.array_equal(answers["y"], rows.sum(axis=1, keepdims=True))


def test_rows_go_in_the_blocks_that_the_model_fixes() -> None:
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    answers = answer_rows(identity_model(shape=(2, 3)), {"x": rows}, "holdout")
    assert np.array_equal(answers["y"], rows[:4])


def test_fewer_rows_than_the_model_takes_are_refused() -> None:
    with pytest.raises(Rejected, match="fewer than the model takes") as refusal:
        answer_rows(identity_model(shape=(2, 3)), {"x": np.ones((1, 3), np.float32)}, "holdout")
    assert refusal.value.check == "holdout"


def test_texts_are_answered() -> None:
    rows = np.array(["a", "ü"], object)
    answers = answer_rows(identity_model("BYTES", ("n",)), {"x": rows}, "holdout")
    assert answers["y"].tolist() == ["a", "ü"]


def test_outputs_without_a_row_for_each_are_left_out() -> None:
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Identity", ["x"], ["y"]),
    ]
    outputs = [("total", "FP32", ()), ("shape", "INT64", (2,)), ("y", "FP32", ("n", 3))]
    model = make_model(nodes, [("x", "FP32", ("n", 3))], outputs)
    assert list(answer_rows(model, {"x": np.ones((5, 3), np.float32)}, "holdout")) == ["y"]


def test_outputs_whose_rows_change_their_shape_are_left_out() -> None:
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    wide = helper.make_node("Shape", ["x"], ["sizes"])
    nodes = [wide, helper.make_node("Concat", ["sizes", "sizes"], ["shape"], axis=0), node]
    model = make_model(nodes, [("x", "FP32", ("n",))], [("y", "FP32", ("n", "m"))])
    assert answer_rows(model, {"x": np.ones(1500, np.float32)}, "holdout") == {}
    assert answer_rows(model, {"x": np.ones(15, np.float32)}, "holdout")["y"].shape == (15, 15)


def test_rows_on_which_the_model_fails_are_refused() -> None:
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    table = {"table": np.ones(3, np.float32)}
    model = make_model([node], [("x", "INT64", ("n",))], [("y", "FP32", ("n",))], table)
    with pytest.raises(Rejected, match="fails on held-out rows") as refusal:
        answer_rows(model, {"x": np.array([0, 7])}, "holdout")
    assert refusal.value.check == "holdout"
