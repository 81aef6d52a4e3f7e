"""What onnxruntime does with a test model, without the gateway: the measure of our refusals."""

import ctypes
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
from msgspec import Struct
from numpy.typing import NDArray

from tests.conformance.cases import Case

Array = NDArray[Any]

# Element types that no datatype of the protocol has.
_UNCARRIED = re.compile(r"float8|float4|u?int[24]\b|complex")
_BFLOAT16 = 16  # the number of the element type in ONNX


class Oracle(Struct, frozen=True, kw_only=True):
    """What may be asked of a gateway for one model.

    `cannot` says why onnxruntime does not run it, `not_tensors` and `uncarried` which type of its
    inputs and outputs the protocol has not; else there are answers for each data set.
    """

    cannot: str | None = None
    not_tensors: str | None = None
    uncarried: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    answers: tuple[tuple[Array, ...], ...] = ()

    @property
    def is_unloadable(self) -> bool:
        return self.cannot is not None and self.cannot.startswith("load: ")


def consult(case: Case) -> Oracle:
    """Load and run a case with onnxruntime alone."""
    try:
        session = _open(case.artifact)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises what it likes
        return Oracle(cannot=f"load: {_reason(error)}")
    nodes = session.get_inputs() + session.get_outputs()
    other = [node.type for node in nodes if not node.type.startswith("tensor(")]
    if other:
        return Oracle(not_tensors=other[0])
    uncarried = [node.type for node in nodes if _UNCARRIED.search(node.type)]
    if uncarried:
        return Oracle(uncarried=uncarried[0])
    inputs = tuple(node.name for node in session.get_inputs())
    outputs = tuple(node.name for node in session.get_outputs())
    try:
        answers = _answer_all(session, case)
    except Exception as error:  # noqa: BLE001
        return Oracle(cannot=f"run: {_reason(error)}", inputs=inputs, outputs=outputs)
    return Oracle(inputs=inputs, outputs=outputs, answers=answers)


def are_same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Say whether two answers agree in datatype, shape and every bit (texts: every character)."""
    return all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and (a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes())
        for a, b in zip(one, other, strict=True)
    )


def _open(artifact: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])


def _answer_all(session: onnxruntime.InferenceSession, case: Case) -> tuple[tuple[Array, ...], ...]:
    names = [node.name for node in session.get_inputs()]
    return tuple(_answer(session, dict(zip(names, data.inputs, strict=True))) for data in case.data)


def _answer(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, Array]
) -> tuple[Array, ...]:
    nodes = session.get_inputs() + session.get_outputs()
    if not any(node.type == "tensor(bfloat16)" for node in nodes):
        return tuple(session.run(None, inputs))
    values = {name: _to_value(array) for name, array in inputs.items()}
    return tuple(_to_array(value) for value in session.run_with_ort_values(None, values))


def _to_value(array: Array) -> onnxruntime.OrtValue:
    if array.dtype != ml_dtypes.bfloat16:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    bits = np.asarray(array, order="C").view(np.uint16)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _BFLOAT16)


def _to_array(value: onnxruntime.OrtValue) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return value.numpy()
    count = int(np.prod(value.shape()))
    bits = (ctypes.c_uint16 * count).from_address(value.data_ptr())
    return np.array(bits, np.uint16).view(ml_dtypes.bfloat16).reshape(value.shape())


def _reason(error: Exception) -> str:
    """Shorten an error of onnxruntime to what is the same for all models it befalls."""
    text = str(error).split("\n", 1)[0]
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"/onnxruntime_src/\S+ ", "", text)
    text = re.sub(r" ?\(?(node with name|Name:|node:) ?'.*", "", text)
    return text[:100]
