"""The JSON form: what is read exactly, what is refused and how, and that nothing ever raises."""

import json
import string
import sys
from collections.abc import Iterator
from math import prod
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.protocol import json_envelope
from gateway.protocol.inputs import read_inputs
from gateway.protocol.json_envelope import read_loose
from gateway.protocol.json_numbers import read_members
from gateway.protocol.messages import (
    InferRequest,
    RequestedOutput,
    model_metadata,
    server_metadata,
)
from gateway.protocol.reader import RequestReader
from gateway.protocol.refusal import (
    MAX_VIOLATIONS,
    SENTENCES,
    Refusal,
    Violation,
    label,
    refuse,
    refuse_for,
)
from gateway.protocol.response import encode_response
from registry.datatypes import FLOATS, Datatype
from registry.manifest import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor, encode_tensors

INTEGERS = [datatype for datatype in Datatype if "INT" in datatype]


@pytest.fixture(scope="module", params=["by its length", "as long"], autouse=True)
def read_as(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold all of this for bodies that are read as long ones, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "as long":
            patch.setattr(json_envelope, "_LONG_BYTES", 0)
        yield


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)


def signature(*inputs: TensorSpec, outputs: tuple[str, ...] = ("y", "z")) -> Signature:
    return Signature(inputs=inputs, outputs=tuple(spec(name, "FP32", -1, 2) for name in outputs))


def one(datatype: str, *shape: int) -> Signature:
    return signature(spec("x", datatype, *shape))


def member(name: str, datatype: str, shape: Any, data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def body(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**more, "inputs": inputs}).encode()


def raw(data: str, datatype: str = "FP32", shape: str = "[1]") -> bytes:
    """A body whose shape and data are written as they are, well-formed or not."""
    head = f'{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":'
    return (head + data + "}]}").encode()


def decode_request(sent: bytes, wanted: Signature) -> InferRequest | Refusal:
    return RequestReader(wanted).decode(sent)


def encode(outputs: dict[str, Tensor], **members: Any) -> Any:
    """Write an answer as JSON and read it again."""
    absent = {"model": "m", "version": None, "id": None, "parameters": None}
    requested = [RequestedOutput(name) for name in outputs]
    encoded = encode_response(**(absent | members), outputs=outputs, requested=requested)
    assert encoded.header_length is None
    return json.loads(encoded.body)


def accepted(request: InferRequest | Refusal) -> InferRequest:
    assert isinstance(request, InferRequest), request
    return request


def refused(request: InferRequest | Refusal) -> Refusal:
    assert isinstance(request, Refusal), request
    assert request.code in SENTENCES
    assert request.detail.startswith(SENTENCES[request.code])
    return request


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


# What is refused: faults of the whole body

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "empty-body"),
        (b" \r\n\t", "empty-body"),
        (raw("[1]")[:-1], "malformed-json"),
        (raw("[1]") + b"]", "malformed-json"),
        (raw("[NaN]"), "malformed-json"),
        (raw("[Infinity]"), "malformed-json"),
        (raw("[-Infinity]"), "malformed-json"),
        (raw("[01]"), "malformed-json"),
        (raw("[1,]"), "malformed-json"),
        (raw('["\\ud800"]', "BYTES"), "malformed-json"),
        (raw('["\\udc00"]', "BYTES"), "malformed-json"),
        (raw('["?"]', "BYTES").replace(b"?", b"\xff"), "malformed-json"),
        (raw("[1]").replace(b"inputs", b"\xff"), "malformed-json"),
        (b'{"other":"\xc3","inputs":[]}', "malformed-json"),
        (b"\xef\xbb\xbf" + raw("[1]"), "malformed-json"),
        (raw(DEEP), "too-deep"),
        (raw("[1]", shape=DEEP), "too-deep"),
        (b'{"other":' + DEEP.encode() + b',"inputs":[]}', "too-deep"),
        (b"5", "bad-request"),
        (b"[]", "bad-request"),
        (b"{}", "bad-request"),
        (b'{"inputs":null}', "bad-request"),
        (b'{"inputs":{}}', "bad-request"),
        (b'{"inputs":[5]}', "bad-request"),
        (body(id=5), "bad-id"),
        (body(id="x" * 257), "bad-id"),
        (body(parameters=[]), "bad-parameters"),
        (body(parameters={"a": None}), "bad-parameters"),
        (body(parameters={"a": [1]}), "bad-parameters"),
        (body(parameters={"a": 2**64}), "bad-parameters"),
    ],
)
def test_a_fault_of_the_whole_body_is_told_alone(sent: bytes, code: str) -> None:
    assert decode_request(sent, one("FP32", -1)) == refuse(code)


def test_data_is_too_deep_at_every_depth_that_the_interpreter_may_or_may_not_stand() -> None:
    limit = sys.getrecursionlimit()
    for depth in (33, *range(limit - 200, limit + 20)):
        nested = "[" * depth + "]" * depth
        assert refused(decode_request(raw(nested), one("FP32", -1))).code == "too-deep"


@pytest.mark.parametrize(
    "sent",
    [
        b'{"inputs":[],' + raw("[1]")[1:],
        b'{"\\u0069nputs":[],' + raw("[1]")[1:],
        raw("[1]").replace(b'"data"', b'"data":[2],"data"'),
        raw("[1]").replace(b'"data"', b'"name":"{","name":"x","data"'),
        b'{"other":{"a":1,"a":2},' + raw("[1]")[1:],
        b'{"other":[{"a":"}\\\\"},{"a" : 1, "a"\n:2}],' + raw("[1]")[1:],
    ],
)
def test_a_key_given_twice_is_refused_wherever_it_stands(sent: bytes) -> None:
    assert decode_request(sent, one("FP32", -1)) == refuse("duplicate-key")


def test_equal_keys_of_different_objects_and_texts_like_keys_are_no_duplicates() -> None:
    texts = ['"inputs":', '"inputs":', "a:b", "{", '\\"}']
    sent = body(
        member("x", "BYTES", [5], texts), more=[{"inputs": 1}, {"inputs": {"inputs": "inputs"}}]
    )
    assert accepted(decode_request(sent, one("BYTES", -1))).tensors["x"].tolist() == texts


@pytest.mark.parametrize(
    "outputs",
    [
        "y",
        {"name": "y"},
        ["y"],
        [{}],
        [{"name": 5}],
        [{"name": ["y"]}],
        [{"name": "unknown"}],
        [{"name": "y"}, {"name": "y"}],
        [{"name": "y"}] * 100_000,
    ],
)
def test_outputs_must_be_known_and_different(outputs: Any) -> None:
    sent = body(member("x", "FP32", [1], [1]), outputs=outputs)
    assert decode_request(sent, one("FP32", -1)) == refuse("bad-outputs")


# What is refused: faults of one input


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "code"),
    [
        ("[1.5]", "UINT8", "[1]", "dtype-mismatch"),
        ("[300]", "UINT8", "[1]", "dtype-mismatch"),
        ("[-1]", "UINT8", "[1]", "dtype-mismatch"),
        ("[-1]", "UINT64", "[1]", "dtype-mismatch"),
        ("[true]", "INT32", "[1]", "dtype-mismatch"),
        ("[1.0]", "INT64", "[1]", "dtype-mismatch"),
        ("[null]", "INT64", "[1]", "dtype-mismatch"),
        ("[null]", "BOOL", "[1]", "dtype-mismatch"),
        ("[1]", "BOOL", "[1]", "dtype-mismatch"),
        ('["x"]', "FP32", "[1]", "dtype-mismatch"),
        ("[false]", "FP64", "[1]", "dtype-mismatch"),
        ("[{}]", "FP64", "[1]", "dtype-mismatch"),
        ('["1"]', "INT8", "[1]", "dtype-mismatch"),
        ("[1]", "BYTES", "[1]", "dtype-mismatch"),
        ('[{"a":[]}]', "BYTES", "[1]", "dtype-mismatch"),
        ("[1e400]", "FP32", "[1]", "number-out-of-range"),
        ("[[1e400]]", "FP64", "[1,1]", "number-out-of-range"),
        ("[1e39]", "FP32", "[1]", "number-out-of-range"),
        ("[1e5]", "FP16", "[1]", "number-out-of-range"),
        ("[1e400]", "INT64", "[1]", "number-out-of-range"),
        ("[18446744073709551616]", "UINT64", "[1]", "number-out-of-range"),
        (f"[{'9' * 5000}]", "FP32", "[1]", "number-out-of-range"),
        (f"[-{'9' * 5000}]", "INT64", "[1]", "number-out-of-range"),
        (f"[{'9' * 5000}]", "BOOL", "[1]", "number-out-of-range"),
        ("[" * 65 + "]" * 65, "FP32", "[1]", "too-deep"),
        ("[" * 500 + "]" * 500, "BYTES", "[1]", "too-deep"),
        ("[1]", "FP32", "[-1]", "bad-shape"),
        ("[1]", "FP32", "[1,-5]", "bad-shape"),
        ("[1]", "FP32", "[1.0]", "bad-shape"),
        ("[1]", "FP32", '["3"]', "bad-shape"),
        ("[1]", "FP32", "[true]", "bad-shape"),
        ("[1]", "FP32", "[null]", "bad-shape"),
        ("[1]", "FP32", "[18446744073709551616]", "bad-shape"),
        ("[1]", "FP32", str([1] * 70), "bad-shape"),
        ("[1]", "FP32", "1", "bad-shape"),
        ("[1]", "FP32", '{"a":1}', "bad-shape"),
        ("[1]", "FP32", "[16,1152921504606846978]", "shape-too-large"),
        ("[1]", "FP32", "[4,1152921504606846978]", "shape-too-large"),
        ("[1]", "FP32", "[134217729]", "shape-too-large"),
        ("[1]", "FP32", "[16384,16384]", "shape-too-large"),
        ("[1,2]", "FP32", "[1,2]", "shape-not-accepted"),
        ("[1]", "FP32", "[]", "shape-not-accepted"),
        ("[1,2]", "FP32", "[3]", "shape-data-mismatch"),
        ("[1,2,3,4]", "FP32", "[3]", "shape-data-mismatch"),
        ("[]", "FP32", "[1]", "shape-data-mismatch"),
        ("[[1]]", "FP32", "[1]", "shape-data-mismatch"),
        ("[[1],[2,3]]", "FP32", "[2,2]", "shape-data-mismatch"),
        ('[["a"],["b","c"]]', "BYTES", "[2,2]", "shape-data-mismatch"),
        ('[["a"],["b","c"]]', "BYTES", "[2,1]", "shape-data-mismatch"),
        ("[[1,2],[3,4],[5,6]]", "FP32", "[2,3]", "shape-data-mismatch"),
        ("[[1,2],3]", "FP32", "[2,2]", "shape-data-mismatch"),
        ("[1,[2]]", "INT8", "[2]", "shape-data-mismatch"),
        ("[[[1]]]", "FP32", "[1,1]", "shape-data-mismatch"),
        ("[[]]", "FP32", "[0,2]", "shape-data-mismatch"),
        ("5", "FP32", "[1]", "shape-data-mismatch"),
        ("null", "FP32", "[1]", "shape-data-mismatch"),
        ('"x"', "BYTES", "[1]", "shape-data-mismatch"),
        ("{}", "FP32", "[1]", "shape-data-mismatch"),
        ('[""]', "BYTES", "[10000000]", "too-many-elements"),
    ],
)
def test_an_input_that_breaks_the_signature_is_named(
    data: str, datatype: str, shape: str, code: str
) -> None:
    ranks = {"[1,2]": [-1], "[]": [-1]} if code == "shape-not-accepted" else {}
    dimensions = json.loads(shape)
    rank = len(dimensions) if isinstance(dimensions, list) else 1
    wanted = one(datatype, *ranks.get(shape, [-1] * rank))
    refusal = refused(decode_request(raw(data, datatype, shape), wanted))
    assert refusal.code == code
    assert [violation.input for violation in refusal.violations] == ["x"]
    assert refusal.violations[0].rule == code
    assert "'x'" in refusal.detail


@pytest.mark.parametrize(
    ("datatype", "code"),
    [
        ("FP128", "bad-datatype"),
        ("fp32", "bad-datatype"),
        (5, "bad-datatype"),
        (["FP32"], "bad-datatype"),
        ("BYTES", "dtype-mismatch"),
        ("FP64", "dtype-mismatch"),
    ],
)
def test_a_datatype_must_be_the_signatures(datatype: Any, code: str) -> None:
    refusal = refused(decode_request(body(member("x", datatype, [1], [1])), one("FP32", -1)))
    assert refusal.violations == (Violation(input="x", rule=code, expected="datatype FP32"),)


@pytest.mark.parametrize(
    ("lacking", "code"),
    [("datatype", "bad-datatype"), ("shape", "bad-shape"), ("data", "missing-data")],
)
def test_a_member_that_an_input_lacks_is_named(lacking: str, code: str) -> None:
    given = member("x", "FP32", [1], [1])
    del given[lacking]
    refusal = refused(decode_request(body(given), one("FP32", -1)))
    assert [(violation.input, violation.rule) for violation in refusal.violations] == [("x", code)]


def test_a_wrong_fixed_dimension_is_not_accepted() -> None:
    refusal = refused(decode_request(raw("[1,2]", shape="[1,2]"), one("FP32", -1, 3)))
    assert refusal.violations[0].expected == "shape [-1, 3]"
    assert refusal.code == "shape-not-accepted"


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ([], [("a", "missing-input"), ("b", "missing-input")]),
        (["a"], [("b", "missing-input")]),
        (["a", "b", "c"], [("c", "unexpected-input")]),
        (["a", "b", "a"], [("a", "duplicate-input")]),
        (["a", "b", None], [("inputs[2]", "unnamed-input")]),
        (["a", "b", ["b"]], [("inputs[2]", "unnamed-input")]),
    ],
)
def test_the_inputs_are_exactly_the_signatures(
    inputs: list[Any], found: list[tuple[str, str]]
) -> None:
    wanted = signature(spec("a", "FP32", -1), spec("b", "FP32", -1))
    sent = body(*(member(name, "FP32", [1], [1]) for name in inputs))
    refusal = refused(decode_request(sent, wanted))
    assert [(violation.input, violation.rule) for violation in refusal.violations] == found


def test_faults_of_several_inputs_are_told_together() -> None:
    wanted = signature(spec("a", "FP32", -1), spec("b", "INT8", -1), spec("c", "FP32", -1))
    sent = body(member("a", "FP32", [2], [1, "x"]), member("b", "INT8", [-2], [1]))
    refusal = refused(decode_request(sent, wanted))
    assert refusal.code == "invalid-input"
    assert [label(violation) for violation in refusal.violations] == [
        "dtype-mismatch a[1]",
        "bad-shape b",
        "missing-input c",
    ]
    assert "Violations: 3." in refusal.detail


def test_a_bad_element_is_found_by_row_and_column() -> None:
    for data in ("[1,2,3,4,5,null]", "[[1,2,3],[4,5,null]]"):
        refusal = refused(decode_request(raw(data, "INT8", "[2,3]"), one("INT8", -1, 3)))
        assert (refusal.violations[0].row, refusal.violations[0].column) == (1, 2)


def test_violations_beyond_the_limit_are_counted_but_not_listed() -> None:
    data = json.dumps(["x"] * 5000)
    refusal = refused(decode_request(raw(data, "FP32", "[5000]"), one("FP32", -1)))
    assert len(refusal.violations) == MAX_VIOLATIONS
    assert "Violations: 5000." in refusal.detail


def test_a_model_without_inputs_is_asked_without_inputs() -> None:
    request = accepted(decode_request(b'{"inputs":[]}', signature()))
    assert (request.tensors, request.rows) == ({}, 1)
    refusal = refused(decode_request(body(member("x", "FP32", [1], [1])), signature()))
    assert refusal.code == "unexpected-input"


def test_dimensions_that_share_a_name_must_agree() -> None:
    sent = body(member("a", "FP32", [2], [1, 2]), member("b", "FP32", [1], [1]))
    free = signature(spec("a", "FP32", -1), spec("b", "FP32", -1))
    refusal = refused(decode_request(sent, replace(free, shared={"n": (("a", 0), ("b", 0))})))
    assert [label(violation) for violation in refusal.violations] == ["shape-not-accepted b"]
    accepted(decode_request(sent, free))


def test_dimensions_of_one_input_may_share_a_name() -> None:
    square = replace(one("FP32", -1, -1), shared={"n": (("x", 0), ("x", 1))})
    accepted(decode_request(raw("[1, 2, 3, 4]", "FP32", "[2, 2]"), square))
    refusal = refused(decode_request(raw("[1, 2]", "FP32", "[1, 2]"), square))
    assert "1 in dimension 1, as dimension 0 of 'x' has" in refusal.violations[0].expected


@pytest.mark.parametrize("shape", [[], [2], [2, 1, 3], [0, 5]])
def test_an_input_of_no_declared_shape_takes_any(shape: list[int]) -> None:
    anyhow = Signature(
        inputs=(replace(spec("x", "FP32", -1), is_unranked=True),), outputs=(spec("y", "FP32"),)
    )
    sent = body(member("x", "FP32", shape, [0] * prod(shape)))
    assert accepted(decode_request(sent, anyhow)).tensors["x"].shape == tuple(shape)
    refused(decode_request(body(member("x", "FP32", [2, -1], [0])), anyhow))


def test_no_more_than_64_characters_of_the_caller_are_repeated() -> None:
    name = "secret" * 1000
    sent = body(member("x", "FP32", [1], [1]), member(name, "FP32", [1], [1]))
    refusal = refused(decode_request(sent, one("FP32", -1)))
    assert len(refusal.violations[0].input) == 64
    assert len(refusal.detail) < 250


def test_violations_found_elsewhere_make_the_same_refusal() -> None:
    low = Violation(input="distance", rule="range", expected="at least 0", row=3)
    gone = Violation(input="carrier", rule="missing", expected="a value", row=1)
    assert refuse_for([low], 1).code == "range"
    assert refuse_for([low, gone], 7) == Refusal(
        "invalid-input",
        "Several inputs or values cannot be accepted. "
        "Input 'distance', row 3: expected at least 0. Violations: 7.",
        (low, gone),
    )


# What no caller can do: make the decoder raise

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


# Round trips

SHAPES = st.lists(st.integers(0, 3), min_size=0, max_size=4)


def elements(datatype: Datatype) -> st.SearchStrategy[Any]:
    if datatype is Datatype.BYTES:
        return st.text()
    if datatype is Datatype.BOOL:
        return st.booleans()
    if datatype in FLOATS:
        width = NUMPY_TYPES[datatype].itemsize * 8
        return st.floats(allow_nan=False, allow_infinity=False, width=width)  # type: ignore[arg-type]
    limits = np.iinfo(NUMPY_TYPES[datatype])
    return st.integers(int(limits.min), int(limits.max))


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
