"""What a file must pass before it is a version; whatever it does, this process goes on."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from registry.admission.admit import admit
from registry.errors import Rejected
from tests.builders import identity_model, linear_model, looping_model, make_model


def external_data_model() -> bytes:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], b"\0\0\0\0", raw=True)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [weights],
    )
    content: bytes = helper.make_model(graph, ir_version=10).SerializeToString()
    return content


def custom_operator_model() -> bytes:
    node = helper.make_node("Unknown", ["x"], ["y"], domain="com.example")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    ).SerializeToString()
    return content


def sequence_model() -> bytes:
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 18)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    ).SerializeToString()
    return content


def failing_model() -> bytes:
    """Reshape a tensor of zeros into what it has not enough elements for."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    constants = {"shape": np.array([5], np.int64)}
    return make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", (5,))], constants)


def allocating_model() -> bytes:
    node = helper.make_node("ConstantOfShape", ["shape"], ["z"])
    add = helper.make_node("Add", ["z", "x"], ["y"])
    constants = {"shape": np.array([1 << 36], np.int64)}
    return make_model([node, add], [("x", "FP32", (1,))], [("y", "FP32", ("n",))], constants)


@pytest.mark.parametrize("artifact", [identity_model(), linear_model(), looping_model()])
def test_a_sound_file_gets_its_signature_and_a_certificate(artifact: bytes) -> None:
    signature, certificate = admit(artifact)

    assert [spec.name for spec in signature.outputs] == ["y"]
    assert certificate.runtime.startswith("onnxruntime-")
    assert certificate.run_ms > 0


@pytest.mark.parametrize(
    ("artifact", "check"),
    [
        (b"", "load"),
        (b"garbage", "load"),
        (linear_model()[:-20], "load"),
        (external_data_model(), "load"),
        (custom_operator_model(), "load"),
        (sequence_model(), "signature"),
        (failing_model(), "run"),
    ],
)
def test_a_file_is_refused_with_the_check_that_failed(artifact: bytes, check: str) -> None:
    with pytest.raises(Rejected) as refusal:
        admit(artifact)

    assert refusal.value.check == check


def test_a_file_that_takes_too_much_ends_its_own_process_only() -> None:
    with pytest.raises(Rejected) as refusal:
        admit(allocating_model())

    assert refusal.value.check in {"load", "run", "limits"}
