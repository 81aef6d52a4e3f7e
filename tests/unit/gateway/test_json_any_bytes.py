"""The JSON form: no caller can make the decoder raise."""

import json
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.refusal import Refusal
from registry.datatypes import FLOATS, Datatype
from tests.unit.gateway.json_bodies import (
    body,
    decode_request,
    member,
    one,
    raw,
    refused,
    signature,
    spec,
)

pytestmark = pytest.mark.usefixtures("read_as")

WANTED = signature(spec("x", "FP32", -1, 2), spec("n", "INT64", -1), spec("s", "BYTES", -1, 1))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "shape", "datatype", "data", "id", "outputs"]),
            values,
            max_size=4,
        )
    ),
    max_leaves=20,
)
GOOD = body(
    member("x", "FP32", [2, 2], [[1.5, 2], [None, 4]]),
    member("n", "INT64", [2], [1, 2]),
    member("s", "BYTES", [2, 1], ["é", None]),
    id="abc",
    parameters={"a": 1},
    outputs=[{"name": "y"}],
)


def check_is_a_value(sent: bytes) -> None:
    result = decode_request(sent, WANTED)
    if isinstance(result, Refusal):
        refused(result)
    else:
        assert list(result.tensors) == ["x", "n", "s"]


@given(st.binary())
def test_any_bytes_get_a_value(sent: bytes) -> None:
    check_is_a_value(sent)


@given(JSON)
def test_any_json_gets_a_value(value: Any) -> None:
    check_is_a_value(json.dumps(value).encode())


@given(st.tuples(JSON, JSON, JSON), st.sampled_from(["data", "shape", "datatype", "name"]))
def test_any_json_in_place_of_a_member_gets_a_value(values: tuple[Any, ...], key: str) -> None:
    request = json.loads(GOOD)
    for given_input, value in zip(request["inputs"], values, strict=True):
        given_input[key] = value
    check_is_a_value(json.dumps(request).encode())


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_any_changed_bytes_get_a_value(changes: list[tuple[int, int]]) -> None:
    sent = bytearray(GOOD)
    for at, value in changes:
        sent[at] = value
    check_is_a_value(bytes(sent))


@given(
    st.sampled_from(list(Datatype)),
    st.lists(st.text(string.digits + "-+.eE", min_size=1, max_size=30), min_size=1, max_size=3),
)
@settings(max_examples=300)
def test_any_spelling_of_numbers_gets_a_value(datatype: Datatype, numbers: list[str]) -> None:
    sent = raw("[" + ",".join(numbers) + "]", datatype, f"[{len(numbers)}]")
    result = decode_request(sent, one(datatype, -1))
    if isinstance(result, Refusal):
        refused(result)
    elif datatype in FLOATS:
        assert np.isfinite(result.tensors["x"]).all()
