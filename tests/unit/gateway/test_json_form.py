"""The JSON form: what is read exactly, and what an answer says."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.inputs import read_inputs
from gateway.protocol.json_envelope import read_loose
from gateway.protocol.json_numbers import read_members
from gateway.protocol.messages import RequestedOutput, model_metadata, server_metadata
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import Refusal, Violation, label
from registry.datatypes import Datatype
from registry.tensors import NUMPY_TYPES, encode_tensors
from tests.unit.gateway.json_bodies import (
    SHAPES,
    accepted,
    body,
    decode_request,
    elements,
    encode,
    member,
    one,
    raw,
    refused,
    signature,
    spec,
)

pytestmark = pytest.mark.usefixtures("read_as")
INTEGERS = [datatype for datatype in Datatype if "INT" in datatype]


# What is accepted


def test_a_request_comes_back_in_the_signatures_order_with_its_rows() -> None:
    wanted = signature(spec("a", "FP32", -1, 2), spec("b", "BYTES", -1, 1))
    sent = body(
        member("b", "BYTES", [3, 1], ["x", "y", "z"]),
        member("a", "FP32", [3, 2], [[1, 2], [3, 4], [5, 6]]),
        id="abc",
        parameters={"routing_key": "k", "n": 3, "f": 0.5, "b": True},
        outputs=[{"name": "z", "parameters": {"binary_data": False}}],
    )
    request = accepted(decode_request(sent, wanted))
    assert list(request.tensors) == ["a", "b"]
    assert request.tensors["a"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert request.tensors["b"].tolist() == [["x"], ["y"], ["z"]]
    assert (request.id, request.outputs, request.rows) == ("abc", (RequestedOutput("z"),), 3)
    assert request.parameters == {"routing_key": "k", "n": 3, "f": 0.5, "b": True}


def test_members_that_are_absent_or_null_have_their_defaults() -> None:
    nulls = {"id": None, "parameters": None, "outputs": None}
    for more in ({}, nulls, {"outputs": []}):
        request = accepted(
            decode_request(body(member("x", "FP32", [1], [1]), **more), one("FP32", -1))
        )
        assert (request.id, request.parameters) == (None, {})
        assert request.outputs == (RequestedOutput("y"), RequestedOutput("z"))


def test_unknown_members_are_ignored() -> None:
    sent = body(
        {**member("x", "INT8", [1], [1]), "parameters": {"content_type": "np"}},
        model_name="flights",
        more={"id": {"id": [{"id": 1}]}},
    )
    assert accepted(decode_request(sent, one("INT8", -1))).tensors["x"].tolist() == [1]


def test_a_scalar_is_one_row() -> None:
    request = accepted(decode_request(raw("[7]", "INT64", "[]"), one("INT64")))
    assert (request.tensors["x"].shape, request.rows) == ((), 1)


@pytest.mark.parametrize(
    ("shape", "data"),
    [([0, 3], "[]"), ([2, 0], "[[],[]]"), ([2, 0], "[]"), ([2, 0, 3], "[[],[]]"), ([0], " [ ] ")],
)
@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "BOOL"])
def test_dimensions_may_be_zero(shape: list[int], data: str, datatype: str) -> None:
    request = decode_request(raw(data, datatype, str(shape)), one(datatype, *[-1] * len(shape)))
    assert accepted(request).tensors["x"].shape == tuple(shape)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_are_exact_over_their_whole_range(datatype: Datatype) -> None:
    limits = np.iinfo(NUMPY_TYPES[datatype])
    values = [int(limits.min), int(limits.max), int(limits.max) - 1]
    tensor = accepted(decode_request(raw(str(values), datatype, "[3]"), one(datatype, -1))).tensors[
        "x"
    ]
    assert tensor.dtype == NUMPY_TYPES[datatype]
    assert tensor.tolist() == values
    for beyond in (limits.min - 1, limits.max + 1):
        violation = refused(
            decode_request(raw(f"[0,{beyond}]", datatype, "[2]"), one(datatype, -1))
        )
        assert violation.violations[0].row == 1


@pytest.mark.parametrize(("datatype", "missing"), [("FP16", "nan"), ("FP64", "nan"), ("BYTES", "")])
@pytest.mark.parametrize("data", ["[null,null]", "[[null],[null]]"])
def test_a_null_is_a_missing_value(datatype: str, missing: str, data: str) -> None:
    request = decode_request(raw(data, datatype, "[2,1]"), one(datatype, -1, 1))
    assert [str(value) for value in accepted(request).tensors["x"].ravel()] == [missing, missing]


def test_the_text_null_is_not_a_missing_value() -> None:
    request = accepted(decode_request(raw('["null",null,"a"]', "BYTES", "[3]"), one("BYTES", -1)))
    assert request.tensors["x"].tolist() == ["null", "", "a"]


@pytest.mark.parametrize(
    ("datatype", "largest", "beyond"),
    [
        ("FP16", "65519.99", "65520"),
        ("FP32", "3.4028235677973362e38", "3.4028235677973366e38"),
        ("FP32", "3.4028235e38", "340282356779733661637539395458142568448"),
        ("FP64", "1.7976931348623157e308", "1e400"),
        ("FP64", "1" * 309, "2" * 309),
        ("BF16", "3.3961774278184117e38", "3.396177427818412e38"),
    ],
)
def test_numbers_that_would_become_infinite_are_refused(
    datatype: str, largest: str, beyond: str
) -> None:
    request = accepted(decode_request(raw(f"[-{largest}]", datatype), one(datatype, -1)))
    assert np.isfinite(request.tensors["x"]).all()
    for sign in ("", "-"):
        request = decode_request(raw(f"[{sign}{beyond}]", datatype), one(datatype, -1))
        assert refused(request).code == "number-out-of-range"


# Round trips


@given(st.data(), st.sampled_from(list(Datatype)), SHAPES)
@settings(max_examples=200)
def test_what_is_encoded_is_decoded_the_same_flat_and_nested(
    data: st.DataObject, datatype: Datatype, shape: list[int]
) -> None:
    count = int(np.prod(shape))
    values = data.draw(st.lists(elements(datatype), min_size=count, max_size=count))
    tensor = np.array(values, NUMPY_TYPES[datatype]).reshape(shape)
    output = encode({"x": tensor})["outputs"][0]
    nested = {**output, "data": tensor.tolist() if shape else [tensor.item()]}
    for sent in (output, nested):
        request = accepted(decode_request(body(sent), one(datatype, *[-1] * len(shape))))
        decoded = request.tensors["x"]
        assert (decoded.dtype, decoded.shape) == (tensor.dtype, tensor.shape)
        assert decoded.tolist() == tensor.tolist()
        assert request.rows == (shape[0] if shape else 1)


# Answers


def test_absent_members_of_an_answer_are_left_out() -> None:
    outputs = {"y": np.array([[1, 2]], np.int64)}
    assert encode(outputs) == {
        "model_name": "m",
        "outputs": [{"name": "y", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}],
    }


def test_an_answer_repeats_id_version_and_parameters() -> None:
    assert encode({}, version="3", id="abc", parameters={"record_id": "r"}) == {
        "model_name": "m",
        "model_version": "3",
        "id": "abc",
        "parameters": {"record_id": "r"},
        "outputs": [],
    }


@pytest.mark.parametrize("numpy_type", [np.float16, np.float32, np.float64])
def test_numbers_that_json_lacks_become_null(numpy_type: type) -> None:
    tensor = np.array([np.nan, np.inf, -np.inf, 0.5], numpy_type)
    assert encode({"y": tensor})["outputs"][0]["data"] == [None, None, None, 0.5]


def test_texts_that_are_not_utf8_are_marked() -> None:
    tensor = np.array([b"\xff", b"caf\xc3\xa9", "\ud800", "é"], object)
    assert encode({"y": tensor})["outputs"][0]["data"] == ["\ufffd", "café", "?", "é"]


def test_an_answer_is_row_major_whatever_lies_in_memory() -> None:
    tensor = np.array([[1, 2], [3, 4]], np.int8).T
    assert encode({"y": tensor})["outputs"][0]["data"] == [1, 3, 2, 4]


def test_metadata_is_written_as_the_protocol_asks() -> None:
    assert json.loads(msgspec.json.encode(server_metadata("gateway", "0.1.0", ["parameters"]))) == {
        "name": "gateway",
        "version": "0.1.0",
        "extensions": ["parameters"],
    }
    wanted = signature(spec("x", "FP32", -1, 30), outputs=())
    assert json.loads(msgspec.json.encode(model_metadata("flights", [1, 2], wanted))) == {
        "name": "flights",
        "versions": ["1", "2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 30]}],
        "outputs": [],
    }


def test_a_violation_is_written_without_what_it_lacks() -> None:
    violation = Violation(input="x", rule="bad-shape", expected="shape [-1]")
    assert json.loads(msgspec.json.encode(violation)) == {
        "input": "x",
        "rule": "bad-shape",
        "expected": "shape [-1]",
    }
    assert label(violation) == "bad-shape x"


# Long bodies of floats: their numbers become an array at once


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [1, 2.5, -3, 2**60]),
        ([2, 2], [[1, 2], [3e38, 1e-400]]),
        ([0, 2], []),
    ],
)
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_numbers_of_a_long_body_become_an_array_at_once(
    datatype: str, shape: list[int], data: list[Any]
) -> None:
    sent = body(member("x", datatype, shape, data), outputs=[{"name": "y"}], id="a")
    members = read_members(sent)
    assert members is not None
    assert members["inputs"][0].data.tolist() == data
    assert (members["id"], members["outputs"]) == ("a", [{"name": "y"}])


@pytest.mark.parametrize(
    "data", ["[1,[2],3]", "[[1],2]", "[[1,2],[3]]", "[[[1]]]", "[1,null]", "[true]", '["1"]', "{}"]
)
def test_what_only_looks_like_numbers_is_looked_at_closely(data: str) -> None:
    assert read_members(raw(data)) is None


def test_a_body_longer_than_the_parser_may_keep_is_read_all_the_same() -> None:
    values = [0.5] * 300_000
    sent = body(member("x", "FP32", [300_000], values))
    assert len(sent) > 1 << 20
    assert accepted(decode_request(sent, one("FP32", -1))).tensors["x"].tolist() == values


# One pass or two: a plain body is read at once, any other input by input; both say the same


@given(st.data(), st.lists(st.sampled_from(list(Datatype)), min_size=1, max_size=3), SHAPES)
@settings(max_examples=200)
def test_one_pass_reads_what_the_closer_look_reads(
    data: st.DataObject, datatypes: list[Datatype], shape: list[int]
) -> None:
    wanted = signature(
        *(spec(f"x{place}", datatype, *shape) for place, datatype in enumerate(datatypes))
    )
    count = int(np.prod(shape))
    sent = [
        member(
            f"x{place}",
            datatype,
            shape,
            data.draw(st.lists(elements(datatype), min_size=count, max_size=count)),
        )
        for place, datatype in enumerate(datatypes)
    ]
    given_body = body(*data.draw(st.permutations(sent)))

    at_once = accepted(decode_request(given_body, wanted)).tensors
    envelope = read_loose(given_body)
    assert not isinstance(envelope, Refusal)
    closely = read_inputs(envelope.inputs, wanted, None)

    assert not isinstance(closely, Refusal)
    assert list(at_once) == list(closely) == [spec.name for spec in wanted.inputs]
    assert encode_tensors(at_once) == encode_tensors(closely)


def test_a_plain_body_is_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [
        body(member("x", "FP32", [2, 2], [1, 2, None, 4]), id="a", parameters={"p": "q:r"}),
        body(member("x", "FP32", [2, 2], [[1, 2], [3, 4.5]]), outputs=[{"name": "y"}]),
    ]
    reader = RequestReader(one("FP32", -1, 2))

    monkeypatch.setattr("gateway.protocol.reader.read_loose", None)
    for sent in plain:
        assert accepted(reader.decode(sent)).rows == 2
