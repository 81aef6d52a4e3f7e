"""The model that load tests serve: logistic regression on the breast-cancer data, 30 floats a row.

The data set comes with scikit-learn, so nothing is fetched.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry.records import Action, Contract, Rule, RuleKind

MODEL = "cancer"
INPUT = "X"
PROBABILITIES = "probabilities"
TOLERANCE = 1e-5


class Trained(Struct, frozen=True, kw_only=True):
    """A model in ONNX, one row of its training data, and what scikit-learn answers for it."""

    artifact: bytes
    contract: Contract
    row: list[float]
    probabilities: list[float]

    def body(self, request_id: str) -> dict[str, Any]:
        """Write an inference request for the row."""
        tensor = {"name": INPUT, "shape": [1, len(self.row)], "datatype": "FP32", "data": self.row}
        return {"id": request_id, "inputs": [tensor]}


def train(strength: float = 1.0) -> Trained:
    """Train on all rows; `strength` is the inverse of the regularisation, and changes answers."""
    bunch = load_breast_cancer()
    data = bunch.data.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    pipeline.fit(data, bunch.target)
    model = to_onnx(pipeline, data[:1], options={"zipmap": False})
    # The middle of each column, rounded to few digits as callers write them, breaks no range.
    row = np.array([float(f"{value:.4g}") for value in np.median(data, axis=0)], np.float32)
    return Trained(
        artifact=model.SerializeToString(),
        contract=contract(data),
        row=[float(str(value)) for value in row],
        probabilities=pipeline.predict_proba(row.reshape(1, -1))[0].tolist(),
    )


def contract(data: NDArray[np.float32]) -> Contract:
    """Flag what lies outside of the data's range, column by column, and what is missing."""
    ranges = [
        Rule(
            input=INPUT,
            kind=RuleKind.RANGE,
            action=Action.FLAG,
            column=column,
            low=float(values.min()),
            high=float(values.max()),
        )
        for column, values in enumerate(data.T)
    ]
    missing = Rule(input=INPUT, kind=RuleKind.MISSING, action=Action.FLAG)
    return Contract(rules=(*ranges, missing))
