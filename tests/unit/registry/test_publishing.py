"""What is published answers as scikit-learn does, or is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from registry.datatypes import Datatype
from registry.distribution import Categorical, Discrete, Numeric
from registry.errors import Rejected
from registry.manifest import RuleKind
from registry.publishing.onnx import draft_from_file
from registry.publishing.sklearn import check_parity, convert, draft_from_sklearn, measure
from registry.publishing.tables import columns_of
from registry.session import open_session, read_signature
from registry.tensors import Tensor

TRAINED, HELD_OUT = 900, 300


def make_frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = TRAINED + HELD_OUT
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 12, n).astype(np.float32),
            "visits": rng.integers(0, 9, n),
            "member": rng.random(n) < 0.5,
            "city": rng.choice(["Oslo", "Rome", "Lima"], n),
        }
    )
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    signal = frame["age"].fillna(40) / 12 + frame["visits"] + 2 * (frame["city"] == "Rome")
    frame["label"] = (signal + rng.normal(0, 1, n) > 8).astype(int)
    return frame


FRAME = make_frame()
TRAINING, HOLDOUT = FRAME[:TRAINED], FRAME[TRAINED:]
INPUTS = ["age", "visits", "member", "city"]


def pipeline_of(model: Any, *, scale: bool = True) -> Any:
    steps = [SimpleImputer(strategy="median"), *([StandardScaler()] if scale else [])]
    numbers = make_pipeline(*steps)
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, ["age", "visits"]), ("passthrough", ["member"]), (texts, ["city"])
    )
    return make_pipeline(columns, model)


def fit(model: Any, labels: Any = TRAINING["label"], *, scale: bool = True) -> Any:
    return pipeline_of(model, scale=scale).fit(TRAINING[INPUTS], labels)


def altered(artifact: bytes, attribute: str, change: float, factor: float = 1.0) -> bytes:
    """Multiply the numbers of one attribute of the graph by `factor`, and add `change`."""
    model = onnx.load_from_string(artifact)
    for node in model.graph.node:
        for held in node.attribute:
            if held.name == attribute:
                held.floats[:] = [value * factor + change for value in held.floats]
    changed: bytes = model.SerializeToString()
    assert changed != artifact
    return changed


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=30, random_state=0),
        RandomForestClassifier(10, random_state=0),
    ],
    ids=["linear", "gradient boosting", "forest"],
)
def test_a_pipeline_of_mixed_columns_becomes_publishable(model: Any) -> None:
    pipeline = fit(model, scale=isinstance(model, LogisticRegression))
    artifact, draft = draft_from_sklearn(
        pipeline, TRAINING, HOLDOUT, HOLDOUT["label"].to_numpy(), description="Will they come?"
    )
    assert draft.parity is not None
    assert draft.parity.rows == HELD_OUT
    assert draft.parity.largest_difference <= draft.parity.tolerance == 1e-5
    assert draft.parity.labels_equal == 1.0
    assert draft.reference is not None
    assert [f.input for f in draft.reference.features] == INPUTS
    age, _, _, city = draft.reference.features
    assert isinstance(age.distribution, Numeric)
    assert age.missing == TRAINING["age"].isna().sum()
    assert isinstance(city.distribution, Categorical)
    assert {r.kind for r in draft.contract.rules if r.input == "city"} == {
        RuleKind.CATEGORIES,
        RuleKind.MISSING,
    }
    assert draft.lineage.data_columns == (*INPUTS, "label")
    assert [m.name for m in draft.lineage.metrics] == ["accuracy", "area_under_roc"]
    assert draft.description == "Will they come?"
    signature = read_signature(open_session(artifact))
    assert [(i.name, i.datatype, i.shape) for i in signature.inputs] == [
        ("age", Datatype.FP32, (-1, 1)),
        ("visits", Datatype.INT64, (-1, 1)),
        ("member", Datatype.BOOL, (-1, 1)),
        ("city", Datatype.BYTES, (-1, 1)),
    ]
    assert [(o.name, o.shape) for o in signature.outputs] == [
        ("label", (-1,)),
        ("probabilities", (-1, 2)),
    ]


def test_a_text_never_seen_is_answered() -> None:
    artifact = convert(fit(LogisticRegression()), columns_of(TRAINING))
    strange = HOLDOUT.assign(city="Atlantis")
    assert check_parity(fit(LogisticRegression()), artifact, strange).labels_equal == 1.0


def test_the_same_pipeline_gives_the_same_bytes() -> None:
    pipeline, columns = fit(LogisticRegression()), columns_of(TRAINING)
    assert convert(pipeline, columns) == convert(pipeline, columns)


def test_the_bytes_do_not_depend_on_how_a_process_orders_sets() -> None:
    model = onnx.load_from_string(convert(fit(LogisticRegression()), columns_of(TRAINING)))
    domains = [opset.domain for opset in model.opset_import]
    assert len(domains) > 1
    assert domains == sorted(domains)


def test_integers_can_be_taken_as_numbers_that_may_be_missing() -> None:
    artifact = convert(fit(LogisticRegression()), columns_of(TRAINING), integers=Datatype.FP32)
    signature = read_signature(open_session(artifact))
    assert signature.inputs[1].datatype is Datatype.FP32


def test_labels_may_be_texts_and_more_than_two() -> None:
    labels = np.array(["low", "mid", "high"])[FRAME["visits"] // 3]
    pipeline = fit(LogisticRegression(max_iter=500), labels[:TRAINED])
    _, draft = draft_from_sklearn(pipeline, TRAINING, HOLDOUT, labels[TRAINED:])
    assert [m.name for m in draft.lineage.metrics] == ["accuracy"]


@pytest.mark.parametrize(
    "model", [LinearRegression(), HistGradientBoostingRegressor(max_iter=20, random_state=0)]
)
def test_large_values_of_a_regressor_are_compared_by_their_size(model: Any) -> None:
    values = FRAME["visits"] * 1e6 + FRAME["member"]
    pipeline = fit(model, values[:TRAINED], scale=isinstance(model, LinearRegression))
    _, draft = draft_from_sklearn(pipeline, TRAINING, HOLDOUT, values[TRAINED:].to_numpy())
    assert draft.parity is not None
    assert draft.parity.labels_equal == 1.0
    assert [m.name for m in draft.lineage.metrics] == ["mean_absolute_error"]


def matrix_model() -> tuple[Any, Tensor, Tensor]:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(200, 4)).astype(np.float32)
    labels = (matrix.sum(axis=1) > 0).astype(int)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(matrix, labels), matrix, labels


def test_a_matrix_becomes_one_input_of_several_columns() -> None:
    pipeline, matrix, labels = matrix_model()
    training = {"X": matrix, "late": labels}
    artifact, draft = draft_from_sklearn(pipeline, training, matrix[:50], labels[:50])
    (only,) = read_signature(open_session(artifact)).inputs
    assert (only.name, only.shape) == ("X", (-1, 4))
    assert draft.reference is not None
    assert [f.column for f in draft.reference.features] == [0, 1, 2, 3]
    assert draft.lineage.data_columns == ("X", "late")


def test_a_threshold_between_two_neighbours_of_32_bits_sends_both_to_their_side() -> None:
    low, high = np.float32(0.17), np.float32(0.19)
    middle = (float(low) + float(high)) / 2
    assert float(np.float32(middle)) > middle  # rounded to nearest, it would let its neighbour pass
    matrix = np.repeat([[low], [high]], 100, axis=0)
    labels = np.repeat([0, 1], 100)
    model = HistGradientBoostingClassifier(max_iter=5).fit(matrix, labels)
    nearest = np.float32(middle)
    rows = np.array([[np.nextafter(nearest, np.float32(0))], [nearest]], np.float32)
    probabilities = model.predict_proba(rows)[:, 1]
    assert probabilities[0] < 0.5 < probabilities[1]
    assert check_parity(model, convert(model, {"X": matrix}), rows).labels_equal == 1.0
    assert model._predictors[0][0].nodes["num_threshold"][0] == middle


def test_trees_behind_a_scaler_are_refused_where_a_value_meets_a_threshold() -> None:
    pipeline = fit(RandomForestClassifier(10, random_state=0), scale=True)
    with pytest.raises(Rejected, match="without a scaler"):
        check_parity(pipeline, convert(pipeline, columns_of(TRAINING)), HOLDOUT)


def test_a_model_that_needs_64_bits_is_refused() -> None:
    matrix = np.repeat([[1.0], [1.0 + 1e-12]], 100, axis=0)
    model = HistGradientBoostingClassifier(max_iter=20).fit(matrix, np.repeat([0, 1], 100))
    artifact = convert(model, {"X": matrix})
    with pytest.raises(Rejected, match="rounded to 32 bits") as refusal:
        check_parity(model, artifact, matrix)
    assert refusal.value.check == "parity"


@pytest.mark.parametrize(
    ("model", "attribute", "change"),
    [
        (LogisticRegression(), "intercepts", 1e-3),
        (HistGradientBoostingClassifier(max_iter=30), "nodes_values", 0.05),
    ],
)
def test_an_altered_artifact_is_refused(model: Any, attribute: str, change: float) -> None:
    pipeline = fit(model)
    artifact = altered(convert(pipeline, columns_of(TRAINING)), attribute, change)
    with pytest.raises(Rejected) as refusal:
        check_parity(pipeline, artifact, HOLDOUT)
    assert refusal.value.check == "parity"


def test_the_tolerance_is_the_publishers_to_state() -> None:
    pipeline = fit(LogisticRegression())
    artifact = altered(convert(pipeline, columns_of(TRAINING)), "intercepts", 1e-3)
    assert check_parity(pipeline, artifact, HOLDOUT, tolerance=0.01).tolerance == 0.01


def test_labels_that_differ_are_refused_whatever_the_tolerance() -> None:
    pipeline = fit(LogisticRegression())
    artifact = altered(convert(pipeline, columns_of(TRAINING)), "coefficients", 0.0, -1.0)
    with pytest.raises(Rejected, match="labels equal"):
        check_parity(pipeline, artifact, HOLDOUT, tolerance=1.0)


def test_an_answer_that_is_not_a_number_is_refused() -> None:
    pipeline = fit(LinearRegression(), TRAINING["visits"])
    artifact = altered(convert(pipeline, columns_of(TRAINING)), "intercepts", float("nan"))
    with pytest.raises(Rejected, match="inf"):
        check_parity(pipeline, artifact, HOLDOUT)


def test_a_pipeline_that_answers_in_another_shape_is_refused() -> None:
    pipeline = fit(LogisticRegression())
    labels = FRAME["visits"] // 3
    other = convert(fit(LogisticRegression(max_iter=500), labels[:TRAINED]), columns_of(TRAINING))
    with pytest.raises(Rejected, match="shape"):
        check_parity(pipeline, other, HOLDOUT)


def test_an_artifact_that_cannot_answer_is_refused() -> None:
    pipeline, matrix, _ = matrix_model()
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["X", "size"], ["y"])],
        "broken",
        [onnx.helper.make_tensor_value_info("X", floats, [None, 4])],
        [onnx.helper.make_tensor_value_info("y", floats, [None])],
        [onnx.numpy_helper.from_array(np.array([7]), "size")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    broken = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    with pytest.raises(Rejected, match="fails on held-out rows"):
        check_parity(pipeline, broken.SerializeToString(), matrix)


def test_a_classifier_without_probabilities_is_refused() -> None:
    with pytest.raises(Rejected, match="calibrate"):
        draft_from_sklearn(fit(LinearSVC()), TRAINING, HOLDOUT, HOLDOUT["label"].to_numpy())


def test_what_cannot_be_converted_is_refused_in_one_short_sentence() -> None:
    model = make_pipeline(FunctionTransformer(np.sin), LogisticRegression())
    with pytest.raises(Rejected) as refusal:
        convert(fit(model), columns_of(TRAINING))
    assert refusal.value.check == "conversion"
    assert len(str(refusal.value)) < 300
    assert "\n" not in str(refusal.value)
    assert refusal.value.__cause__ is not None


def test_a_pipeline_must_get_the_columns_that_it_was_fitted_on() -> None:
    with pytest.raises(Rejected, match="no column 'age'"):
        convert(fit(LogisticRegression()), {"city": columns_of(TRAINING)["city"]})
    with pytest.raises(Rejected, match="one matrix"):
        convert(matrix_model()[0], columns_of(TRAINING))


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(Rejected, match="equal length"):
        measure(fit(LogisticRegression()), HOLDOUT, TRAINING["label"].to_numpy())


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(convert(fit(LogisticRegression()), columns_of(TRAINING)))
    return path


def test_a_file_gets_contract_and_reference_from_its_data(model_file: Path, tmp_path: Path) -> None:
    csv = tmp_path / "training.csv"
    TRAINING.to_csv(csv, index=False)
    artifact, draft = draft_from_file(model_file, csv, "A file")
    assert artifact == model_file.read_bytes()
    assert draft.reference is not None
    assert [f.input for f in draft.reference.features] == INPUTS
    assert draft.contract.rules
    assert draft.lineage.data_rows == TRAINED
    assert (draft.lineage.code_commit, draft.parity, draft.description) == (None, None, "A file")


def test_what_a_file_answers_on_held_out_rows_is_described(
    model_file: Path, tmp_path: Path
) -> None:
    for name, table in (("training", TRAINING), ("holdout", HOLDOUT)):
        table.to_parquet(tmp_path / f"{name}.parquet")
    _, draft = draft_from_file(
        model_file, tmp_path / "training.parquet", holdout_file=tmp_path / "holdout.parquet"
    )
    assert draft.reference is not None
    assert draft.reference.output_rows == len(HOLDOUT)
    found = [(f.input, f.column, type(f.distribution)) for f in draft.reference.outputs]
    assert found == [
        ("label", None, Discrete),
        ("probabilities", 0, Numeric),
        ("probabilities", 1, Numeric),
    ]


def test_a_file_without_data_accepts_every_value(model_file: Path) -> None:
    _, draft = draft_from_file(model_file, description="Bare")
    assert (draft.contract.rules, draft.reference, draft.description) == ((), None, "Bare")


def test_data_of_another_model_is_refused(model_file: Path, tmp_path: Path) -> None:
    csv = tmp_path / "other.csv"
    TRAINING.drop(columns="city").to_csv(csv, index=False)
    with pytest.raises(Rejected, match="'city'"):
        draft_from_file(model_file, csv)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(Rejected, match="cannot be read"):
        draft_from_file(path)
    path.write_bytes(b"not a model")
    with pytest.raises(Rejected):
        draft_from_file(path)
