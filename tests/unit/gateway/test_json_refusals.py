"""The JSON form: what is refused, and what is said of it."""

import json
import sys
from math import prod
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.protocol.refusal import MAX_VIOLATIONS, Refusal, Violation, label, refuse, refuse_for
from registry.manifest import Signature
from tests.unit.gateway.json_bodies import (
    accepted,
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
        7,
    )
