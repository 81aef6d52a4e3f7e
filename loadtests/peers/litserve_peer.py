"""LitServe as its documentation shows it: one LitAPI, JSON rows in, JSON probabilities out.

One worker process and one API process, without batching, as it is by default.

    python loadtests/peers/litserve_peer.py MODEL.onnx PORT
"""

import os
import sys
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

import litserve
import numpy as np
import onnxruntime as ort


class Classifier(litserve.LitAPI):
    """Answers rows with the label and the probabilities of each."""

    def setup(self, device: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            sys.argv[1], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        self.outputs = [node.name for node in self.session.get_outputs()]

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"id": request["id"], "rows": np.array(request["rows"], np.float32)}

    def predict(self, x: dict[str, Any]) -> dict[str, Any]:
        values = self.session.run(self.outputs, {self.input: x["rows"]})
        return {"id": x["id"], **dict(zip(self.outputs, values, strict=True))}

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in output.items()
        }


def main() -> None:
    """Serve until told to stop."""
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False
    )


if __name__ == "__main__":
    main()
