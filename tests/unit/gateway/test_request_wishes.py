"""What a request asks for beside its inputs: outputs and their form, priority, timeout, classes."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gateway.protocol.classification import best_classes
from gateway.protocol.messages import InferRequest, RequestedOutput
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import Refusal, refuse
from gateway.protocol.response import encode_response
from registry.datatypes import Datatype
from registry.manifest import Signature, TensorSpec
from registry.tensors import Tensor

WANTED = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1,)),),
    outputs=(
        TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 2)),
        TensorSpec(name="s", datatype=Datatype.BYTES, shape=(-1,)),
    ),
)


def ask(**members: Any) -> InferRequest | Refusal:
    sent = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    return RequestReader(WANTED).decode(json.dumps({"inputs": [sent], **members}).encode())


def accepted(**members: Any) -> InferRequest:
    request = ask(**members)
    assert isinstance(request, InferRequest), request
    return request


def test_nothing_asked_for_means_all_outputs_in_json_and_no_hurry() -> None:
    request = accepted()

    assert request.outputs == (RequestedOutput("y"), RequestedOutput("s"))
    assert (request.priority, request.timeout_us) == (0, None)


@pytest.mark.parametrize(
    ("by_default", "by_itself", "is_binary"),
    [
        (None, None, False),
        (True, None, True),
        (False, None, False),
        (True, False, False),
        (False, True, True),
        (None, True, True),
    ],
)
def test_an_output_decides_its_form_before_the_request_does(
    by_default: bool | None, by_itself: bool | None, is_binary: bool
) -> None:
    parameters = {} if by_default is None else {"binary_data_output": by_default}
    own = {} if by_itself is None else {"binary_data": by_itself}

    request = accepted(parameters=parameters, outputs=[{"name": "s", "parameters": own}])

    assert request.outputs == (RequestedOutput("s", is_binary=is_binary),)


def test_the_default_form_is_that_of_all_outputs_where_none_is_named() -> None:
    request = accepted(parameters={"binary_data_output": True})

    assert [output.is_binary for output in request.outputs] == [True, True]


def test_outputs_come_in_the_order_asked_for_with_their_classes() -> None:
    wanted = [{"name": "s"}, {"name": "y", "parameters": {"classification": 3, "own": [1]}}]

    request = accepted(outputs=wanted)

    assert request.outputs == (RequestedOutput("s"), RequestedOutput("y", classes=3))


@pytest.mark.parametrize(
    "output",
    [
        {"name": "y", "parameters": {"binary_data": 1}},
        {"name": "y", "parameters": {"binary_data": None}},
        {"name": "y", "parameters": {"classification": -1}},
        {"name": "y", "parameters": {"classification": True}},
        {"name": "y", "parameters": {"classification": 1.0}},
        {"name": "y", "parameters": {"classification": "1"}},
        {"name": "y", "parameters": {"classification": 2**63}},
        {"name": "y", "parameters": []},
        {"name": "y", "parameters": {"shared_memory_region": "r"}},
        {"name": "s", "parameters": {"classification": 1}},
    ],
)
def test_an_output_in_a_form_that_makes_no_sense_is_refused(output: dict[str, Any]) -> None:
    assert ask(outputs=[output]) == refuse("bad-outputs")


def test_priority_and_timeout_are_read() -> None:
    request = accepted(parameters={"priority": 2, "timeout": 1500, "mine": "x"})

    assert (request.priority, request.timeout_us) == (2, 1500)
    assert request.parameters == {"priority": 2, "timeout": 1500, "mine": "x"}
    assert accepted(parameters={"timeout": 0}).timeout_us is None


@pytest.mark.parametrize("name", ["priority", "timeout"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", True, 2**63])
def test_a_priority_or_timeout_that_is_no_count_is_refused(name: str, value: Any) -> None:
    assert ask(parameters={name: value}) == refuse("bad-parameters")


@pytest.mark.parametrize("subject", ["p", "patient 12", "é" * 256])
def test_the_subject_is_read(subject: str) -> None:
    assert accepted(parameters={"subject": subject}).subject == subject


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"parameters": {"routing_key": "caller 12"}, "id": "mine"}, "caller 12"),
        ({"parameters": {"routing_key": "é" * 256}}, "é" * 256),
        ({"parameters": {}, "id": "mine"}, "mine"),
        ({"id": "mine"}, "mine"),
        ({}, None),
    ],
)
def test_the_routing_key_is_the_parameter_else_the_id(
    members: dict[str, Any], key: str | None
) -> None:
    assert accepted(**members).routing_key == key


@pytest.mark.parametrize("key", ["", "p" * 257, 12, True, 1.0])
def test_a_routing_key_that_is_no_short_text_is_refused(key: Any) -> None:
    assert ask(parameters={"routing_key": key}) == refuse("bad-parameters")


@pytest.mark.parametrize("subject", ["", "p" * 257, 12, True, 1.0])
def test_a_subject_that_is_no_short_text_is_refused(subject: Any) -> None:
    assert ask(parameters={"subject": subject}) == refuse("bad-parameters")


@pytest.mark.parametrize("value", [1, "true", 0.0])
def test_the_default_form_is_true_or_false(value: Any) -> None:
    assert ask(parameters={"binary_data_output": value}) == refuse("bad-parameters")


@pytest.mark.parametrize(
    "name",
    ["sequence_id", "sequence_start", "sequence_end", "headers", "triton_enable", "triton_"],
)
def test_a_reserved_parameter_is_refused_and_never_passed_over(name: str) -> None:
    assert ask(parameters={"mine": 1, name: 0}) == refuse("reserved-parameter")


# Classes


def classes(values: Any, numpy_type: Any, count: int) -> Any:
    return best_classes(np.array(values, numpy_type), count).tolist()


@pytest.mark.parametrize(
    ("values", "numpy_type", "count", "found"),
    [
        ([[0.25, 0.5, 0.125]], np.float32, 2, [["0.5:1", "0.25:0"]]),
        ([0.25, 0.5, 0.125], np.float64, 1, ["0.5:1"]),
        ([[1, 2], [4, 3]], np.int64, 5, [["2:1", "1:0"], ["4:0", "3:1"]]),
        ([[0, 255]], np.uint8, 2, [["255:1", "0:0"]]),
        ([[False, True]], np.bool_, 1, [["1:1"]]),
        ([[7, 7, 7]], np.int8, 2, [["7:0", "7:1"]]),
        ([[np.nan, -np.inf, 1]], np.float16, 3, [["1.0:2", "nan:0", "-inf:1"]]),
        ([[np.inf, 0.1]], np.float32, 2, [["inf:0", "0.1:1"]]),
        ([[1, 2.5]], ml_dtypes.bfloat16, 1, [["2.5:1"]]),
        ([[[1, 2], [3, 4]]], np.int32, 1, [["4:3"]]),
        (5.0, np.float32, 1, ["5.0:0"]),
        ([], np.float32, 1, []),
        ([[], []], np.float32, 1, [[], []]),
    ],
)
def test_the_best_of_each_row_are_named_with_their_values(
    values: Any, numpy_type: Any, count: int, found: Any
) -> None:
    assert classes(values, numpy_type, count) == found


@pytest.mark.parametrize("numpy_type", [np.float16, np.float32, np.float64])
def test_the_value_of_a_class_is_read_back_exactly(numpy_type: Any) -> None:
    values = np.random.default_rng(7).random((4, 9)).astype(numpy_type)

    for row, texts in zip(values, best_classes(values, 9), strict=True):
        for text in texts:
            value, _, index = text.partition(":")
            assert numpy_type(value) == row[int(index)]


def test_classes_are_answered_in_place_of_the_values_and_in_any_form() -> None:
    outputs: dict[str, Tensor] = {"y": np.array([[0.5, 2], [3, 1]], np.float32)}

    def answer(*, is_binary: bool) -> bytes:
        wanted = [RequestedOutput("y", is_binary=is_binary, classes=1)]
        return encode_response(
            model="m", version=None, id=None, parameters=None, outputs=outputs, requested=wanted
        ).body

    assert json.loads(answer(is_binary=False))["outputs"] == [
        {"name": "y", "shape": [2, 1], "datatype": "BYTES", "data": ["2.0:1", "3.0:0"]}
    ]
    assert answer(is_binary=True).endswith(b"\5\0\0\x002.0:1\5\0\0\x003.0:0")
