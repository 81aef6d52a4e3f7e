"""Eight kinds of model and the requests they are asked, all from seeded numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.random import Generator
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from registry.tensors import Tensor
from tests.builders import make_model

COLUMNS = 12
_TRAINING_ROWS = 400
_OPSET = {"": 18, "ai.onnx.ml": 3}
_CARRIERS = ("AA", "B6", "DL", "Ünïted", "")

Inputs = dict[str, Tensor]


class Kind(Struct, frozen=True, kw_only=True):
    """A model, and what makes inputs of so many rows for it."""

    artifact: bytes
    inputs: Callable[[Generator, int], Inputs]
    outputs: tuple[str, ...]


def make_kinds() -> dict[str, Kind]:
    """Train and write one model of each kind."""
    random = np.random.default_rng(7)
    x = random.normal(size=(_TRAINING_ROWS, COLUMNS)).astype(np.float32)
    y = (x[:, :3].sum(axis=1) + random.normal(scale=0.3, size=_TRAINING_ROWS)).astype(np.float32)
    labels = np.digitize(y, [-1.0, 1.0])
    classes = ("label", "probabilities")
    return {
        "linear": _sklearn(LinearRegression().fit(x, y), ("variable",)),
        "logistic": _sklearn(
            LogisticRegression(max_iter=300).fit(x, labels), ("output_label", "output_probability"),
            zipmap=True,
        ),
        "boosting": _sklearn(
            GradientBoostingClassifier(n_estimators=40, random_state=1).fit(x, labels), classes
        ),
        "forest": _sklearn(
            RandomForestClassifier(n_estimators=100, random_state=1).fit(x, labels), classes
        ),
        "perceptron": _sklearn(
            MLPClassifier((64, 32), max_iter=30, tol=1.0, random_state=1).fit(x, labels), classes
        ),
        "convolution": Kind(artifact=_convolution(random), inputs=_images, outputs=("y",)),
        "pipeline": Kind(artifact=_pipeline(x, labels), inputs=_mixed, outputs=classes),
        "embedding": Kind(artifact=_embedding(random), inputs=_indices, outputs=("y", "best")),
    }  # fmt: skip


def _sklearn(model: Any, outputs: tuple[str, ...], *, zipmap: bool = False) -> Kind:
    is_classifier = hasattr(model, "predict_proba")
    options = {id(model): {"zipmap": zipmap}} if is_classifier else None
    onnx = to_onnx(
        model,
        initial_types=[("x", FloatTensorType([None, COLUMNS]))],
        options=options,
        target_opset=_OPSET,
    )
    return Kind(artifact=onnx.SerializeToString(), inputs=_numbers, outputs=outputs)


def _pipeline(x: Tensor, labels: Tensor) -> bytes:
    random = np.random.default_rng(8)
    carriers = random.choice(np.array(_CARRIERS[:4], object), (_TRAINING_ROWS, 1))
    table = np.concatenate([carriers, x[:, :3].astype(object)], axis=1)
    columns = ColumnTransformer(
        [
            ("carrier", OneHotEncoder(handle_unknown="ignore"), [0]),
            ("numbers", StandardScaler(), [1, 2, 3]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=300)).fit(table, labels)
    types = [
        ("carrier", StringTensorType([None, 1])),
        *((name, FloatTensorType([None, 1])) for name in ("a", "b", "c")),
    ]
    onnx = to_onnx(model, initial_types=types, options={"zipmap": False}, target_opset=_OPSET)
    content: bytes = onnx.SerializeToString()
    return content


def _convolution(random: Generator) -> bytes:
    """Answer images `x` [n, 3, 16, 16] with `y` [n, 10]."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "w2"], ["d"]),
        helper.make_node("Tanh", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "w3"], ["h"]),
        helper.make_node("Softmax", ["h"], ["y"]),
    ]
    constants = {
        "w1": random.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(size=(16, 8, 3, 3)).astype(np.float32),
        "w3": random.normal(size=(16, 10)).astype(np.float32),
    }
    return make_model(
        nodes, [("x", "FP32", ("n", 3, 16, 16))], [("y", "FP32", ("n", 10))], constants
    )


def _embedding(random: Generator) -> bytes:
    """Answer words `i` [n, 6] of a table with scores `y` [n, 5] and the best of them `best` [n]."""
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axes"], ["b"], keepdims=0),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
        helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
    ]
    constants = {
        "table": random.normal(size=(500, 24)).astype(np.float32),
        "axes": np.array([1], np.int64),
        "w": random.normal(size=(24, 5)).astype(np.float32),
    }
    return make_model(
        nodes,
        [("i", "INT64", ("n", 6))],
        [("y", "FP32", ("n", 5)), ("best", "INT64", ("n",))],
        constants,
    )


def _numbers(random: Generator, rows: int) -> Inputs:
    return {"x": random.normal(size=(rows, COLUMNS)).astype(np.float32)}


def _images(random: Generator, rows: int) -> Inputs:
    return {"x": random.normal(size=(rows, 3, 16, 16)).astype(np.float32)}


def _indices(random: Generator, rows: int) -> Inputs:
    return {"i": random.integers(0, 500, (rows, 6))}


def _mixed(random: Generator, rows: int) -> Inputs:
    carriers = {"carrier": random.choice(np.array(_CARRIERS, object), (rows, 1))}
    numbers = {n: random.normal(size=(rows, 1)).astype(np.float32) for n in ("a", "b", "c")}
    return carriers | numbers
