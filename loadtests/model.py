"""The models that load tests serve: classifiers of the breast-cancer data, 30 floats a row.

The data set comes with scikit-learn, so nothing is fetched.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry.contract import derive_contract
from registry.manifest import Draft
from registry.publishing.holdout import answer_rows
from registry.reference import derive_reference
from registry.session import open_session, read_signature

MODEL = "cancer"
INPUT = "X"
COLUMNS = 30
PROBABILITIES = "probabilities"
TOLERANCE = 1e-5
_TREES = 100

Rows = NDArray[np.float32]


class Trained(Struct, frozen=True, kw_only=True):
    """A model in ONNX, what is said of it, rows as callers write them, scikit-learn's answers."""

    artifact: bytes
    draft: Draft
    rows: Rows
    answers: NDArray[np.float64]

    @property
    def probabilities(self) -> list[float]:
        """What scikit-learn answers for the first row."""
        first: list[float] = self.answers[0].tolist()
        return first

    def take(self, count: int) -> Rows:
        """Return so many rows; they begin again after the last."""
        return np.resize(self.rows, (count, COLUMNS))

    def expect(self, count: int) -> NDArray[np.float64]:
        """Return the answers for the rows that `take` gives."""
        return np.resize(self.answers, (count, self.answers.shape[1]))

    def body(self, request_id: str) -> dict[str, Any]:
        """Write an inference request for the first row."""
        data = shortest(self.rows[0])
        tensor = {"name": INPUT, "shape": [1, COLUMNS], "datatype": "FP32", "data": data}
        return {"id": request_id, "inputs": [tensor]}


def shortest(values: NDArray[np.float32]) -> list[float]:
    """Return floats that are written in the fewest digits which name the same FP32 values."""
    return [float(str(value)) for value in values.ravel()]


def train(strength: float = 1.0) -> Trained:
    """Train a logistic regression on all rows; `strength` is the inverse of the regularisation."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return _train(model)


def train_trees() -> Trained:
    """Train gradient boosting with a hundred trees on all rows."""
    return _train(GradientBoostingClassifier(n_estimators=_TREES, random_state=0))


def _train(model: ClassifierMixin) -> Trained:
    bunch = load_breast_cancer()
    data = bunch.data.astype(np.float32)
    model.fit(data, bunch.target)
    rows = _written(np.vstack([np.median(data, axis=0), data]), data)
    artifact = to_onnx(model, data[:1], options={"zipmap": False}).SerializeToString()
    return Trained(
        artifact=artifact,
        draft=_draft(artifact, data),
        rows=rows,
        answers=model.predict_proba(rows),
    )


def _written(rows: NDArray[np.float32], data: NDArray[np.float32]) -> Rows:
    """Round rows to few digits, as callers write them, without breaking the data's ranges."""
    rounded = np.array([[float(f"{value:.4g}") for value in row] for row in rows], np.float32)
    return np.clip(rounded, data.min(axis=0), data.max(axis=0))


def _draft(artifact: bytes, data: NDArray[np.float32]) -> Draft:
    """Give the model a reference of its inputs and outputs, and all rules that follow from it."""
    columns = {INPUT: data}
    reference = derive_reference(columns, outputs=answer_rows(artifact, columns, "reference"))
    contract = derive_contract(reference, read_signature(open_session(artifact)))
    return Draft(reference=reference, contract=replace(contract, warm_up_s=0))
