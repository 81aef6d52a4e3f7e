"""BentoML as its documentation shows it: one service, numpy rows in, probabilities out, JSON.

One worker process, without adaptive batching, as it is by default.

    python loadtests/peers/bentoml_peer.py MODEL.onnx PORT
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

import bentoml
import numpy as np
import onnxruntime as ort
from bentoml.validators import DType


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Classifier:
    """Answers rows with the label and the probabilities of each."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        self.outputs = [node.name for node in self.session.get_outputs()]

    @bentoml.api
    async def predict(
        self, id: str, rows: Annotated[np.ndarray, DType("float32")]
    ) -> dict[str, Any]:
        values = self.session.run(self.outputs, {self.input: rows})
        answer = {name: v.tolist() for name, v in zip(self.outputs, values, strict=True)}
        return {"id": id, **answer}


def main() -> None:
    """Become `bentoml serve`, as users start it."""
    environment = {**os.environ, "PEER_MODEL": sys.argv[1], "BENTOML_DO_NOT_TRACK": "true"}
    command = [
        str(Path(sys.executable).with_name("bentoml")),
        "serve", "bentoml_peer:Classifier", "--working-dir", str(Path(__file__).parent),
        "--host", "127.0.0.1", "--port", sys.argv[2],
    ]  # fmt: skip
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main()
