"""MLServer with a custom runtime, as its documentation shows it, in one process.

Its worker pool is off (`parallel_workers=0`): it would only add a hop on one core.

    python loadtests/peers/mlserver_peer.py MODEL.onnx PORT
"""

import asyncio
import os
import socket
import sys
import tempfile

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

import numpy as np
import onnxruntime as ort
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

MODEL = "cancer"


class Classifier(MLModel):
    """Answers rows with the label and the probabilities of each."""

    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [node.name for node in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensors = {
            tensor.name: NumpyCodec.decode_input(tensor).astype(np.float32, copy=False)
            for tensor in payload.inputs
        }
        values = self._session.run(self._outputs, tensors)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output(name, value)
                for name, value in zip(self._outputs, values, strict=True)
            ],
        )


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Serve until told to stop."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            debug=False,
            parallel_workers=0,
            host="127.0.0.1",
            http_port=int(sys.argv[2]),
            grpc_port=free_port(),
            metrics_endpoint=None,
            metrics_dir=folder,
            environments_dir=folder,
        )
        model = ModelSettings(
            name=MODEL,
            implementation=Classifier,
            parameters=ModelParameters(uri=sys.argv[1]),
        )
        asyncio.run(MLServer(settings).start([model]))


if __name__ == "__main__":
    main()
