"""A file that nobody trusts yet harms the process that inspects it, and no other."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from registry.admission import admit as admission
from registry.admission.admit import admit
from registry.errors import Rejected, StoreUnavailable
from registry.tensors import Datatype
from tests.builders import (
    ONNX_ELEMENTS,
    identity_model,
    linear_model,
    looping_model,
    make_model,
    two_input_model,
)


def write_model(nodes: list[Any], outputs: list[Any], *, opset: int = 18, **more: Any) -> bytes:
    """Write a model without asking the checker, which would refuse some of these."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, more.get("initializer", []))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    opsets += [helper.make_opsetid(domain, 1) for domain in more.get("domains", ())]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def plain_output(name: str = "y") -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def external_model(location: str) -> bytes:
    """Name a file as the place of the weights, as large models do."""
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[16])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return write_model(
        [helper.make_node("Identity", ["w"], ["y"])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [16])],
        initializer=[tensor],
    )


def zipmap_model() -> bytes:
    """Answer with a sequence of maps, as scikit-learn's converter does unless told otherwise."""
    node = helper.make_node(
        "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]
    )
    of_map = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    output = helper.make_value_info("y", helper.make_sequence_type_proto(of_map))
    return write_model([node], [output])


def sequence_model() -> bytes:
    node = helper.make_node("SequenceConstruct", ["x", "x"], ["y"])
    return write_model(
        [node], [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    )


def allocating_model(elements: int) -> bytes:
    node = helper.make_node("ConstantOfShape", ["size"], ["y"])
    return make_model(
        [node], [("x", "FP32", (1,))], [("y", "FP32", ("n",))], {"size": np.array([elements])}
    )


def endless_model() -> bytes:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Identity", ["a"], ["b"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]),
        ],
    )
    node = helper.make_node("Loop", ["", "go", "x"], ["y"], body=body)
    constants = {"go": np.bool_(1).reshape(())}
    return make_model([node], [("x", "FP32", (1,))], [("y", "FP32", (1,))], constants)


def failing_model() -> bytes:
    """Reshape to a size that no input of three columns has."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    return make_model(
        [node], [("x", "FP32", ("n", 3))], [("y", "FP32", (7,))], {"shape": np.array([7])}
    )


def test_a_model_is_admitted_with_its_signature_and_times() -> None:
    signature, certificate = admit(two_input_model())
    assert [(s.name, s.datatype, s.shape) for s in signature.inputs] == [
        ("distance", Datatype.FP32, (-1, 1)),
        ("carrier", Datatype.BYTES, (-1, 1)),
    ]
    assert [s.name for s in signature.outputs] == ["d", "c"]
    assert certificate.load_ms > 0
    assert certificate.run_ms > 0
    assert certificate.runtime.startswith("onnxruntime-")


@pytest.mark.parametrize("datatype", ONNX_ELEMENTS)
def test_every_datatype_is_admitted(datatype: str) -> None:
    signature, _ = admit(identity_model(datatype, (2, "n")))
    assert signature.inputs[0].datatype == datatype
    assert signature.inputs[0].shape == (2, -1)


def test_a_loop_that_ends_is_admitted() -> None:
    admit(looping_model())


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "load"),
    "text": (lambda: b"hello, this is no model", "load"),
    "noise": (lambda: np.random.default_rng(1).bytes(100_000), "load"),
    "zeros": (lambda: bytes(1000), "load"),
    "truncated": (lambda: linear_model()[:-20], "load"),
    "script": (lambda: b"#!/bin/sh\ntouch owned\n", "load"),
    "opset 999": (lambda: write_model([helper.make_node("Identity", ["x"], ["y"])],
                                      [plain_output()], opset=999), "load"),
    "unknown operator": (lambda: write_model([helper.make_node("Nothing", ["x"], ["y"])],
                                             [plain_output()]), "load"),
    "custom domain": (lambda: write_model([helper.make_node("Own", ["x"], ["y"], domain="my.ops")],
                                          [plain_output()], domains=["my.ops"]), "load"),
    "dangling input": (lambda: write_model([helper.make_node("Identity", ["z"], ["y"])],
                                           [plain_output()]), "load"),
    "external absolute": (lambda: external_model("/etc/passwd"), "load"),
    "external above": (lambda: external_model("../" * 20 + "etc/passwd"), "load"),
    "external beside": (lambda: external_model("weights.bin"), "load"),
    "external process": (lambda: external_model("/proc/self/environ"), "load"),
    "sequence": (sequence_model, "signature"),
    "map": (zipmap_model, "signature"),
    "run fails": (failing_model, "run"),
    "allocates 2^40": (lambda: allocating_model(2**40), "run"),
    "allocates 2^62": (lambda: allocating_model(2**62), "run"),
    "takes 2^40": (lambda: identity_model("FP32", (2**40,)), "limits"),
    "takes 2^80": (lambda: identity_model("FP32", (2**40, 2**40)), "limits"),
    "takes 2^36 texts": (lambda: identity_model("BYTES", (2**36,)), "limits"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "check"), REFUSED.values(), ids=REFUSED)
def test_a_bad_file_is_rejected_with_the_check_it_failed(
    make: Callable[[], bytes], check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    with pytest.raises(Rejected) as caught:
        admit(make())
    assert caught.value.check == check
    message = str(caught.value)
    assert len(message) < 250
    assert "/" not in message
    assert "Traceback" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


def test_the_refusal_of_a_map_says_how_to_convert() -> None:
    with pytest.raises(Rejected, match="zipmap=False"):
        admit(zipmap_model())


def test_a_file_over_the_limit_is_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_ARTIFACT_BYTES", 10)
    with pytest.raises(Rejected) as caught:
        admit(linear_model())
    assert caught.value.check == "size"


def test_a_model_that_never_ends_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(Rejected) as caught:
        admit(endless_model(), timeout_s=1)
    assert caught.value.check == "limits"
    assert time.monotonic() - started < 10


def test_a_child_that_is_killed_is_a_rejection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The kernel's way with a process that needs too much memory.
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(Rejected) as caught:
        admit(linear_model())
    assert caught.value.check == "limits"


def test_a_child_that_cannot_start_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(StoreUnavailable):
        admit(linear_model())


def test_admission_goes_on_after_every_refusal() -> None:
    for make, _ in list(REFUSED.values())[-3:]:
        with pytest.raises(Rejected):
            admit(make())
    admit(linear_model())


def test_the_child_is_told_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_GATEWAY", "1")
    seen: dict[str, str] = {}
    real = subprocess.run

    def note(*args: Any, **options: Any) -> Any:
        seen.update(options["env"])
        return real(*args, **options)

    monkeypatch.setattr(subprocess, "run", note)
    admit(linear_model())
    assert "SECRET_OF_THE_GATEWAY" in os.environ
    assert set(seen) == {"PYTHONPATH", "ORT_DISABLE_TELEMETRY", "HOME"}
