"""From a fitted scikit-learn pipeline to an ONNX artifact that is shown to answer alike."""

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from registry.contract import derive_contract
from registry.datatypes import Datatype
from registry.errors import Rejected, clip
from registry.manifest import Draft, Metric, Parity
from registry.publishing.holdout import answer_rows
from registry.publishing.lineage import collect_lineage
from registry.publishing.metrics import accuracy, area_under_roc, mean_absolute_error
from registry.publishing.tables import Columns, Frame, Table, columns_of, match_inputs
from registry.reference import derive_reference
from registry.session import open_session, read_signature
from registry.tensors import Tensor

TOLERANCE = 1e-5
# Probabilities that agree within the tolerance can still tie, and a tie may fall either way.
LEAST_LABELS_EQUAL = 0.999

_TENSOR_TYPES = {
    Datatype.FP32: FloatTensorType,
    Datatype.INT64: Int64TensorType,
    Datatype.BOOL: BooleanTensorType,
    Datatype.BYTES: StringTensorType,
}


def draft_from_sklearn(
    pipeline: Any,
    training: Table,
    holdout: Frame | Tensor,
    labels: Tensor,
    *,
    description: str = "",
    tolerance: float = TOLERANCE,
    integers: Datatype = Datatype.INT64,
    directory: Path | None = None,
) -> tuple[bytes, Draft]:
    """Convert a fitted pipeline, prove that it answers alike, and describe where it comes from.

    `training` is what the pipeline was fitted on; columns that it does not take, such as the
    labels, count towards the digest of the data alone. `holdout` are rows it was not fitted on, in
    the form that it takes, and `labels` [n] their true labels or values. `directory` is where the
    training code lives, for its commit.

    Raises Rejected with the checks "conversion", "parity", "reference" and "metrics".
    """
    columns = columns_of(training)
    artifact = convert(pipeline, columns, integers=integers)
    parity = check_parity(pipeline, artifact, holdout, tolerance=tolerance)
    signature = read_signature(open_session(artifact))
    answers = answer_rows(artifact, columns_of(_rows(pipeline, holdout)), "parity")
    reference = derive_reference(match_inputs(columns, signature), outputs=answers)
    lineage = collect_lineage(
        columns=columns,
        pipeline=pipeline,
        metrics=measure(pipeline, holdout, labels),
        directory=directory,
    )
    draft = Draft(
        contract=derive_contract(reference, signature),
        reference=reference,
        lineage=lineage,
        description=description,
        parity=parity,
    )
    return artifact, draft


def convert(
    pipeline: Any, sample: Mapping[str, Tensor], *, integers: Datatype = Datatype.INT64
) -> bytes:
    """Convert a fitted pipeline to ONNX, with one input for each column that it takes.

    Inputs are [-1, 1], or [-1, k] for a matrix of k columns: FP32 for floating-point columns, BYTES
    for texts, BOOL for booleans, and for integers `integers`, which is INT64 or FP32 (the choice
    where a caller may leave one out). A classifier answers `label` and `probabilities`. The same
    pipeline gives the same bytes.

    Raises Rejected("conversion") where skl2onnx cannot convert it.
    """
    if is_classifier(pipeline) and not hasattr(pipeline, "predict_proba"):
        raise Rejected("conversion", "The classifier has no probabilities; calibrate it first.")
    inputs = _taken(pipeline, sample)
    types = [(name, _tensor_type(tensor, integers)) for name, tensor in inputs.items()]
    exact = _with_float32_thresholds(pipeline)
    options = {id(exact): {"zipmap": False}} if is_classifier(exact) else None
    try:
        with warnings.catch_warnings():
            # skl2onnx writes False for 0 in one attribute of gradient boosting; the value is right.
            warnings.filterwarnings(
                "ignore", r"Field onnx\.AttributeProto\.ints: Expected an int", DeprecationWarning
            )
            # Without a name it would draw a random one, and with it another digest each time.
            model = convert_sklearn(exact, name="pipeline", initial_types=types, options=options)
        for value in model.graph.input:
            # One name for all: every input has as many rows.
            value.type.tensor_type.shape.dim[0].dim_param = "rows"
        # It lists them in the order of a set of texts, which is another in every process.
        model.opset_import.sort(key=lambda opset: opset.domain)
        artifact: bytes = model.SerializeToString()
    except Exception as error:  # skl2onnx raises whatever its converters and protobuf raise
        reason = clip(f"{type(error).__name__}: {error}".split("\n", 1)[0], 200)
        raise Rejected("conversion", f"The pipeline cannot become ONNX: {reason}") from error
    return artifact


def check_parity(
    pipeline: Any, artifact: bytes, holdout: Frame | Tensor, *, tolerance: float = TOLERANCE
) -> Parity:
    """Show that the artifact answers as scikit-learn does, on rows that neither was fitted on.

    scikit-learn gets the rows as they are and the artifact gets them in the datatypes that the
    gateway takes, so a loss by rounding to FP32 counts as a difference. Differences of
    probabilities are absolute; those of a regressor's values are divided by the value where it
    exceeds 1. At least 999 of 1,000 labels must be equal; a regressor has none, and counts as 1.

    Raises Rejected("parity") where the artifact differs further, or cannot answer at all.
    """
    rows = _rows(pipeline, holdout)
    answers = list(answer_rows(artifact, columns_of(rows), "parity").values())
    labels_equal = 1.0
    if is_classifier(pipeline):
        expected = np.asarray(pipeline.predict_proba(rows))
        scale = np.ones_like(expected)
        labels_equal = float(np.mean(answers[0] == np.asarray(pipeline.predict(rows))))
    else:
        expected = np.asarray(pipeline.predict(rows), np.float64).reshape(len(rows), -1)
        scale = np.maximum(1.0, np.abs(expected))
    largest = _largest_difference(expected, answers[-1], scale)
    if not (largest <= tolerance and labels_equal >= LEAST_LABELS_EQUAL):
        raise Rejected(
            "parity",
            f"The artifact differs from scikit-learn by up to {largest:.2g} (tolerance "
            f"{tolerance:.2g}) with {labels_equal:.2%} of the labels equal, on {len(rows)} "
            "held-out rows. Fit the pipeline on values rounded to 32 bits, which is what the "
            "gateway takes, trees without a scaler before them, and with the empty text for a "
            "missing one.",
        )
    return Parity(
        rows=len(rows),
        tolerance=tolerance,
        largest_difference=largest,
        labels_equal=labels_equal,
    )


def measure(pipeline: Any, holdout: Frame | Tensor, labels: Tensor) -> tuple[Metric, ...]:
    """Measure a pipeline on held-out rows: accuracy, and with two classes the area under the curve.

    A regressor is measured by its mean absolute error. Raises Rejected("metrics").
    """
    rows, truth = _rows(pipeline, holdout), np.asarray(labels)
    predicted = np.asarray(pipeline.predict(rows))
    if not is_classifier(pipeline):
        return (mean_absolute_error(predicted, truth),)
    metrics = [accuracy(predicted, truth)]
    if len(pipeline.classes_) == 2:
        scores = np.asarray(pipeline.predict_proba(rows))[:, 1]
        metrics.append(area_under_roc(scores, truth == pipeline.classes_[1]))
    return tuple(metrics)


def _taken(pipeline: Any, columns: Mapping[str, Tensor]) -> Columns:
    """Choose the columns that the pipeline takes, in its order."""
    names = getattr(pipeline, "feature_names_in_", None)
    if names is None:
        matrices = {name: tensor for name, tensor in columns.items() if tensor.ndim == 2}
        if len(matrices) != 1:
            raise Rejected(
                "conversion", "The pipeline knows no column names; give its data as one matrix."
            )
        return matrices
    missing = [name for name in names if name not in columns]
    if missing:
        raise Rejected("conversion", f"The training data has no column {clip(missing[0])!r}.")
    return {name: columns[name] for name in names}


def _rows(pipeline: Any, table: Frame | Tensor) -> Any:
    names = getattr(pipeline, "feature_names_in_", None)
    return table if names is None else table[list(names)]


def _tensor_type(tensor: Tensor, integers: Datatype) -> Any:
    kinds = {"f": Datatype.FP32, "b": Datatype.BOOL, "O": Datatype.BYTES}
    datatype = kinds.get(tensor.dtype.kind, integers)
    return _TENSOR_TYPES[datatype]([None, 1 if tensor.ndim == 1 else tensor.shape[1]])


def _with_float32_thresholds(pipeline: Any) -> Any:
    """Copy a pipeline and round down the thresholds of its gradient boosting to 32 bits.

    For a value x of 32 bits and a threshold t of 64, x <= t says the same as x <= the greatest
    number of 32 bits that is not above t. skl2onnx rounds to the nearest instead, which sends every
    x that lies between t and a nearest number above it to the wrong side.
    """
    exact = copy.deepcopy(pipeline)
    model = exact[-1] if isinstance(exact, Pipeline) else exact
    if isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        for tree in (tree for trees in model._predictors for tree in trees):
            thresholds = tree.nodes["num_threshold"]
            with np.errstate(over="ignore"):  # what overflows to infinity comes down again
                nearest = thresholds.astype(np.float32)
            below = np.nextafter(nearest, np.float32(-np.inf))
            tree.nodes["num_threshold"] = np.where(nearest > thresholds, below, nearest)
    return exact


def _largest_difference(expected: Tensor, found: Tensor, scale: Tensor) -> float:
    """Find the largest difference over its scale; NaN equals NaN and is far from any number."""
    if expected.shape != found.shape:
        raise Rejected(
            "parity",
            f"The artifact answers with the shape {list(found.shape)}, scikit-learn with "
            f"{list(expected.shape)}.",
        )
    differences = np.abs(expected - found) / scale
    agreed = np.isnan(expected) & np.isnan(found)
    differences = np.where(agreed, 0.0, np.where(np.isnan(differences), np.inf, differences))
    return float(differences.max())
