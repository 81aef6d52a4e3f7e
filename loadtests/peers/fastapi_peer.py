"""The peer of the benchmark: what one writes by hand to serve a model, without any governance.

An async handler, an async key dependency, pydantic models of the protocol's request and answer,
onnxruntime on one thread, and uvicorn with uvloop and httptools in one process. It runs in an
environment of its own and imports nothing of this project. Large batches come as plain float32
bytes, which is what a team writes that finds JSON too slow for them.

    python loadtests/peers/fastapi_peer.py MODEL.onnx PORT       (the key is in PEER_KEY)
"""

import os
import secrets
import sys
from typing import Annotated, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel


class InputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    id: str | None = None
    inputs: list[InputTensor]


class OutputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferResponse(BaseModel):
    model_name: str
    model_version: str
    id: str | None
    outputs: list[OutputTensor]


_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}


def build_app(artifact: str, key: str) -> FastAPI:
    """Serve the one model of a file with FP32 inputs to whoever has the key."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    outputs = [(node.name, _DATATYPES[node.type]) for node in session.get_outputs()]
    names = [name for name, _ in outputs]
    [node] = session.get_inputs()
    columns: int = node.shape[1]
    accepted = f"Bearer {key}"
    app = FastAPI()

    async def check_key(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), accepted.encode()):
            raise HTTPException(401)

    @app.post("/v2/models/{model}/infer", dependencies=[Depends(check_key)])
    async def infer(model: str, request: InferRequest) -> InferResponse:
        tensors = {t.name: np.array(t.data, np.float32).reshape(t.shape) for t in request.inputs}
        values: list[Any] = session.run(names, tensors)
        return InferResponse(
            model_name=model,
            model_version="1",
            id=request.id,
            outputs=[
                OutputTensor(
                    name=name,
                    shape=list(value.shape),
                    datatype=datatype,
                    data=value.ravel().tolist(),
                )
                for (name, datatype), value in zip(outputs, values, strict=True)
            ],
        )

    @app.post("/v2/models/{model}/raw", dependencies=[Depends(check_key)])
    async def infer_raw(model: str, request: Request) -> Response:
        rows = np.frombuffer(await request.body(), np.float32).reshape(-1, columns)
        values: list[Any] = session.run(names, {node.name: rows})
        content = b"".join(value.tobytes() for value in values)
        return Response(content, media_type="application/octet-stream")

    return app


def main() -> None:
    """Serve until told to stop."""
    uvicorn.run(
        build_app(sys.argv[1], os.environ["PEER_KEY"]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
