"""A file that nobody trusts yet harms the process that inspects it, and no other."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from registry.admission import admit as admission
from registry.admission.admit import admit
from registry.admission.inspector import inspect
from registry.datatypes import Datatype
from registry.errors import Rejected, StoreUnavailable
from registry.manifest import SampleTensor
from registry.session import open_session
from tests.builders import (
    ONNX_ELEMENTS,
    PATIENCE_S,
    identity_model,
    linear_model,
    looping_model,
    make_model,
    two_input_model,
)


def write_model(nodes: list[Any], outputs: list[Any], *, opset: int = 18, **more: Any) -> bytes:
    """Write a model without asking the checker, which would refuse some of these."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(
        nodes, "test", more.get("inputs", inputs), outputs, more.get("initializer", [])
    )
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


def branching_model() -> bytes:
    """Keep weights in another file, and the node that has them in a branch that is never taken."""
    tensor = TensorProto(name="", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    branches = {
        f"{side}_branch": helper.make_graph(
            [helper.make_node("Constant", [], [side], value=value)],
            side,
            [],
            [helper.make_tensor_value_info(side, TensorProto.FLOAT, [4])],
        )
        for side, value in (
            ("then", numpy_helper.from_array(np.ones(4, np.float32))),
            ("else", tensor),
        )
    }
    return write_model(
        [helper.make_node("If", ["yes"], ["y"], **branches)],
        [plain_output()],
        initializer=[numpy_helper.from_array(np.bool_(1).reshape(()), "yes")],
    )


def map_model() -> bytes:
    """Take a map, as converters of scikit-learn's DictVectorizer do."""
    node = helper.make_node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml",
                            string_vocabulary=["a"])  # fmt: skip
    of_map = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    return write_model([node], [plain_output()], inputs=[helper.make_value_info("m", of_map)])


def optional_model() -> bytes:
    node = helper.make_node("Optional", ["x"], ["y"])
    of_tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    output = helper.make_value_info("y", helper.make_optional_type_proto(of_tensor))
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


def sample(name: str, datatype: Datatype, data: list[Any]) -> tuple[SampleTensor, ...]:
    tensor = SampleTensor(name=name, shape=(len(data),), datatype=datatype, data=tuple(data))
    return (tensor,)


def picking_model() -> bytes:
    """Answer indices `i` [1] with an element of a table of three, and no others."""
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    table = {"table": np.arange(3, dtype=np.float32)}
    return make_model([node], [("i", "INT64", (1,))], [("y", "FP32", (1,))], table)


def failing_model() -> bytes:
    """Reshape to a size that no input of three columns has."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    return make_model(
        [node], [("x", "FP32", ("n", 3))], [("y", "FP32", (7,))], {"shape": np.array([7])}
    )


def test_a_model_is_admitted_with_its_signature_and_times() -> None:
    admission = admit(two_input_model())
    signature, certificate = admission.signature, admission.certificate
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
    signature = admit(identity_model(datatype, (2, "n"))).signature
    assert signature.inputs[0].datatype == datatype
    assert signature.inputs[0].shape == (2, -1)


def test_a_loop_that_ends_is_admitted() -> None:
    admit(looping_model())


def test_a_model_that_runs_on_no_made_up_input_is_admitted_as_one() -> None:
    certificate = admit(failing_model()).certificate
    assert certificate.run_ms is None
    assert certificate.is_deterministic is None


def test_a_model_must_run_on_the_sample_that_comes_with_it() -> None:
    fits, too_long = sample("i", Datatype.INT64, [2]), sample("i", Datatype.INT64, [7])
    assert admit(picking_model(), fits).certificate.run_ms is not None
    with pytest.raises(Rejected, match="the sample") as caught:
        admit(picking_model(), too_long)
    assert caught.value.check == "run"


@pytest.mark.parametrize(
    "given",
    [
        sample("j", Datatype.INT64, [2]),
        sample("i", Datatype.INT32, [2]),
        sample("i", Datatype.INT64, [2, 2]),
        sample("i", Datatype.INT64, ["two"]),
        sample("i", Datatype.INT64, [2**80]),
        sample("i", Datatype.INT64, [2]) * 2,
    ],
    ids=["name", "datatype", "shape", "text", "range", "twice"],
)
def test_a_sample_must_fit_the_signature(given: tuple[SampleTensor, ...]) -> None:
    with pytest.raises(Rejected) as caught:
        admit(picking_model(), given)
    assert caught.value.check == "sample"


@pytest.mark.parametrize(
    ("node", "is_deterministic"),
    [
        (helper.make_node("RandomNormalLike", ["x"], ["y"]), False),
        (helper.make_node("RandomNormalLike", ["x"], ["y"], seed=1.0), False),
        (helper.make_node("Bernoulli", ["x"], ["y"], seed=1.0), False),
        (helper.make_node("Dropout", ["x", "", "yes"], ["y"]), False),
        (helper.make_node("Dropout", ["x"], ["y"]), True),
        (helper.make_node("Neg", ["x"], ["y"]), True),
    ],
    ids=["random", "seeded", "coin", "training", "dropout", "plain"],
)
def test_the_certificate_says_whether_the_same_input_gets_the_same_answer(
    node: Any, is_deterministic: bool
) -> None:
    yes = numpy_helper.from_array(np.bool_(1).reshape(()), "yes")
    model = write_model([node], [plain_output()], initializer=[yes])
    certificate = admit(model).certificate
    assert certificate.is_deterministic is is_deterministic


def test_a_shape_that_the_file_leaves_out_is_no_scalar() -> None:
    model = write_model([helper.make_node("Identity", ["x"], ["y"])], [plain_output()])
    signature = admit(model).signature
    (spec,) = signature.outputs
    assert spec.is_unranked
    assert spec.shape == (-1,)


def test_dimensions_of_one_name_are_kept_as_shared() -> None:
    signature = admit(two_input_model()).signature
    assert signature.shared == {"n": (("distance", 0), ("carrier", 0))}
    assert admit(identity_model(shape=("n", "m"))).signature.shared == {}


def test_the_runtime_and_the_reader_agree_on_what_is_no_model() -> None:
    random = np.random.default_rng(9)
    whole = bytearray(looping_model())
    for _ in range(40):
        broken = bytearray(whole)
        for place in random.integers(0, len(broken), 3):
            broken[place] = random.integers(0, 256)
        report = inspect(bytes(broken))
        assert (report.signature is None) == (report.failed_check is not None)


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
    "external absolute": (lambda: external_model("/etc/passwd"), "external"),
    "external above": (lambda: external_model("../" * 20 + "etc/passwd"), "external"),
    "external beside": (lambda: external_model("weights.bin"), "external"),
    "external in memory": (lambda: external_model("*/_ORT_MEM_ADDR_/*"), "external"),
    "external in a branch": (branching_model, "external"),
    "external process": (lambda: external_model("/proc/self/environ"), "external"),
    "sequence": (sequence_model, "signature"),
    "map": (map_model, "signature"),
    "optional": (optional_model, "signature"),
    "a name without end": (lambda: identity_model(name="x" * 2000), "signature"),
    "allocates 2^40": (lambda: allocating_model(2**40), "limits"),
    "allocates 2^62": (lambda: allocating_model(2**62), "limits"),
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


@pytest.mark.parametrize("make", [sequence_model, map_model, optional_model])
def test_a_refusal_of_what_is_no_tensor_says_what_to_do(make: Callable[[], bytes]) -> None:
    with pytest.raises(Rejected, match="make it a tensor instead"):
        admit(make())


def test_a_file_over_the_limit_is_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_ARTIFACT_BYTES", 10)
    with pytest.raises(Rejected) as caught:
        admit(linear_model())
    assert caught.value.check == "size"


def test_the_runtimes_own_file_format_is_no_way_around_the_checks(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    onnxruntime.InferenceSession(linear_model(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "model.ort").read_bytes()
    open_session(content)
    with pytest.raises(Rejected, match="no ONNX model"):
        admit(content)


def test_a_model_that_never_ends_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(Rejected) as caught:
        admit(endless_model(), timeout_s=1)
    assert caught.value.check == "limits"
    assert time.monotonic() - started < PATIENCE_S / 2  # a child that is left alone has a minute


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
