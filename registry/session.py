"""The only importer of onnxruntime: one way to make a session, for admission, parity and serving.

What admission tested is therefore what serves, and what served can be replayed.
"""

import ctypes
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

# onnxruntime writes a device id and an event store into the user's cache folder unless this is set
# before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from onnxruntime import InferenceSession, RunOptions
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from registry.datatypes import Datatype
from registry.errors import Rejected, clip
from registry.manifest import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, ONNX_TYPES, Tensor

__all__ = [
    "InferenceSession",
    "InvalidArgument",
    "RunOptions",
    "Session",
    "open_session",
    "read_signature",
    "runtime_id",
]

_FATAL_ONLY = 4
_BFLOAT16, _STRING = "tensor(bfloat16)", "tensor(string)"
_LONGEST_NAME = 1024
_NUMPY_BFLOAT16 = NUMPY_TYPES[Datatype.BF16]
_ONNX_BFLOAT16 = 16  # its number among ONNX's element types
_BITS = np.dtype(np.uint16)


class BFloat16Session:
    """A session with BF16 among its inputs or outputs, run as any other.

    onnxruntime knows no numpy type for BF16, so such tensors go in and out as its own values.
    """

    def __init__(self, session: InferenceSession) -> None:
        """Take over a session. Raises Rejected for inputs and outputs that onnxruntime parts."""
        self._session = session
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs
        self._answers_bfloat16 = _BFLOAT16 in _types(session.get_outputs())
        if self._answers_bfloat16 and _STRING in _types(session.get_inputs()):
            raise Rejected(
                "signature",
                "onnxruntime gives no output of BF16 where an input is BYTES: cast to FP32 in the"
                " model.",
            )

    def run(
        self,
        outputs: Sequence[str] | None,
        tensors: Mapping[str, Tensor],
        options: RunOptions | None = None,
    ) -> list[Tensor]:
        """Answer as `InferenceSession.run` does."""
        if self._answers_bfloat16:
            given = {name: _to_value(tensor) for name, tensor in tensors.items()}
            values = self._session.run_with_ort_values(outputs, given, options)
            return [_from_value(value) for value in values]
        mixed = {
            name: _to_value(tensor) if tensor.dtype == _NUMPY_BFLOAT16 else tensor
            for name, tensor in tensors.items()
        }
        answers: list[Tensor] = self._session.run(outputs, mixed, options)
        return answers


Session: TypeAlias = InferenceSession | BFloat16Session


def open_session(artifact: bytes) -> Session:
    """Load an ONNX model from its bytes, on one thread, so that batch size changes no bit.

    Raises Rejected where onnxruntime refuses the bytes, or their inputs and outputs together.
    """
    options = ort.SessionOptions()
    # One thread: answers do not depend on how work was divided, and onnxruntime keeps the
    # process's own thread affinity.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    try:
        session = InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Rejected("load", "onnxruntime cannot load this file as a model.") from error
    types = _types(session.get_inputs()) | _types(session.get_outputs())
    return BFloat16Session(session) if _BFLOAT16 in types else session


def read_signature(session: Session, unranked: frozenset[str] = frozenset()) -> Signature:
    """Read names, datatypes and shapes; a dimension without a fixed size becomes -1.

    `unranked` names the inputs and outputs whose shape the file leaves out: onnxruntime tells them
    from scalars no more. Raises Rejected for an input or output that is no tensor of a datatype of
    the protocol.
    """
    return Signature(
        inputs=tuple(_spec("input", node, unranked) for node in session.get_inputs()),
        outputs=tuple(_spec("output", node, unranked) for node in session.get_outputs()),
        shared=_shared_dimensions(session.get_inputs()),
    )


def _spec(role: str, node: ort.NodeArg, unranked: frozenset[str]) -> TensorSpec:
    if len(node.name.encode()) > _LONGEST_NAME:
        raise Rejected("signature", f"The name of an {role} is longer than {_LONGEST_NAME} bytes.")
    datatype = ONNX_TYPES.get(node.type)
    if datatype is None:
        raise Rejected(
            "signature",
            f"The {role} {clip(node.name)!r} is of the type {clip(node.type)}, which the protocol "
            f"cannot carry; {_remedy(node.type)}.",
        )
    if node.name in unranked:
        return TensorSpec(name=node.name, datatype=datatype, shape=(-1,), is_unranked=True)
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return TensorSpec(name=node.name, datatype=datatype, shape=shape)


def _types(nodes: Sequence[ort.NodeArg]) -> set[str]:
    return {node.type for node in nodes}


def _remedy(onnx_type: str) -> str:
    if onnx_type.startswith("seq(map("):
        return "convert with the option zipmap=False to get a tensor instead"
    if onnx_type.startswith("seq("):
        return (
            "make it a tensor instead, by ConcatFromSequence, or an input or output of its own each"
        )
    if onnx_type.startswith("tensor("):
        return "add a Cast to a type that the protocol has, such as UINT8 or FP16"
    return "make it a tensor instead"


def _shared_dimensions(inputs: Sequence[ort.NodeArg]) -> dict[str, tuple[tuple[str, int], ...]]:
    places: dict[str, list[tuple[str, int]]] = {}
    for node in inputs:
        for position, size in enumerate(node.shape):
            if isinstance(size, str) and size:
                places.setdefault(size, []).append((node.name, position))
    return {name: tuple(found) for name, found in places.items() if len(found) > 1}


def _to_value(tensor: Tensor) -> ort.OrtValue:
    if tensor.dtype != _NUMPY_BFLOAT16:
        return ort.OrtValue.ortvalue_from_numpy(tensor)
    bits = np.asarray(tensor, order="C").view(_BITS)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _ONNX_BFLOAT16)


def _from_value(value: ort.OrtValue) -> Tensor:
    if value.data_type() != _BFLOAT16:
        tensor: Tensor = value.numpy()
        return tensor
    # Copied before the value, whose memory this is, goes away.
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, _NUMPY_BFLOAT16).reshape(value.shape())


@cache
def runtime_id() -> str:
    """Name what the bits of an answer depend on beside the artifact and the input.

    That is the runtime's version, its provider, threads and optimisation level, and the features of
    the processor.
    """
    return f"onnxruntime-{ort.__version__}/cpu/threads=1/opt=all/{_processor_id()}"


def _processor_id() -> str:
    features = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    digest = hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
