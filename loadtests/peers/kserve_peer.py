"""KServe's own Python server with a custom model, as its documentation shows it.

python loadtests/peers/kserve_peer.py MODEL.onnx PORT
"""

import logging
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

import onnxruntime as ort
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

MODEL = "cancer"
_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


class Classifier(Model):
    """Answers rows with the label and the probabilities of each."""

    def __init__(self, artifact: str) -> None:
        super().__init__(MODEL)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        self._outputs = [(n.name, _DATATYPES[n.type]) for n in self._session.get_outputs()]
        self._names = [name for name, _ in self._outputs]
        self.ready = True

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None
    ) -> InferResponse:
        tensors = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        outputs = []
        values = self._session.run(self._names, tensors)
        for (name, datatype), value in zip(self._outputs, values, strict=True):
            output = InferOutput(name=name, shape=list(value.shape), datatype=datatype)
            output.set_data_from_numpy(value, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            response_id=payload.id,
            model_name=MODEL,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


def main() -> None:
    """Serve until told to stop, without a log line for each request."""
    for name in ("kserve.trace", "uvicorn.access"):
        logging.getLogger(name).disabled = True
    server = ModelServer(
        http_port=int(sys.argv[2]),
        workers=1,
        enable_grpc=False,
        enable_latency_logging=False,
    )
    server.start([Classifier(sys.argv[1])])


if __name__ == "__main__":
    main()
