"""The binary form: what is read bit for bit, what is refused and how, and that nothing raises."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.messages import Encoded, InferRequest, RequestedOutput
from gateway.protocol.reader import RequestReader, parse_header_length
from gateway.protocol.refusal import SENTENCES, Refusal, label, refuse
from gateway.protocol.response import encode_response
from registry.datatypes import Datatype
from registry.manifest import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor, datatype_of, element_bytes

NUMBERS = [datatype for datatype in Datatype if datatype is not Datatype.BYTES]


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)


def signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs=inputs, outputs=(spec("y", "FP32", -1), spec("s", "BYTES", -1)))


def member(name: str, datatype: str, shape: Any, size: Any, **more: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters} | more


def send(
    wanted: Signature, *inputs: dict[str, Any], binary: bytes = b"", **more: Any
) -> InferRequest | Refusal:
    head = json.dumps({"inputs": inputs, **more}).encode()
    return RequestReader(wanted).decode(head + binary, len(head))


def accepted(request: InferRequest | Refusal) -> InferRequest:
    assert isinstance(request, InferRequest), request
    return request


def refused(request: InferRequest | Refusal, code: str) -> Refusal:
    assert isinstance(request, Refusal), request
    assert request.code == code
    assert request.detail.startswith(SENTENCES[code])
    return request


def encode(outputs: dict[str, Tensor], *requested: RequestedOutput) -> Encoded:
    return encode_response(
        model="m", version="1", id=None, parameters=None, outputs=outputs, requested=requested
    )


def parts(encoded: Encoded) -> tuple[Any, bytes]:
    """Take an answer apart into its JSON and what follows."""
    assert encoded.header_length is not None
    head, binary = encoded.body[: encoded.header_length], encoded.body[encoded.header_length :]
    return json.loads(head), binary


def same(left: Tensor, right: Tensor) -> bool:
    is_alike = (left.dtype, left.shape) == (right.dtype, right.shape)
    return is_alike and element_bytes(left) == element_bytes(right)


# Round trips

SHAPES = st.lists(st.integers(0, 3), min_size=0, max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any tensor: numbers of any bits, NaN and infinities too, and any texts."""
    datatype = draw(st.sampled_from(list(Datatype)))
    shape = draw(SHAPES)
    count = int(np.prod(shape))
    if datatype is Datatype.BYTES:
        texts = np.empty(count, object)
        texts[:] = draw(st.lists(st.text(), min_size=count, max_size=count))
        return texts.reshape(shape)
    numpy_type = NUMPY_TYPES[datatype]
    size = count * numpy_type.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if datatype is Datatype.BOOL:
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, numpy_type).reshape(shape)


@given(st.lists(tensors(), min_size=1, max_size=4), st.integers(0, 7))
@settings(max_examples=300)
def test_what_is_written_is_read_bit_for_bit_wherever_it_lies(
    sent: list[Tensor], padding: int
) -> None:
    outputs = {f"x{number}": tensor for number, tensor in enumerate(sent)}
    encoded = encode(outputs, *(RequestedOutput(name, is_binary=True) for name in outputs))
    answer, binary = parts(encoded)
    wanted = signature(*(spec(name, datatype_of(t), *t.shape) for name, t in outputs.items()))

    request = accepted(send(wanted, *answer["outputs"], binary=binary, id="x" * padding))

    for name, tensor in outputs.items():
        assert same(request.tensors[name], tensor)
        assert request.tensors[name].flags.aligned


@given(tensors())
def test_json_and_binary_say_the_same(tensor: Tensor) -> None:
    if tensor.dtype.kind not in "OUSb":
        tensor = np.where(np.isfinite(tensor), tensor, tensor.dtype.type(0)).astype(tensor.dtype)
    [answer] = json.loads(encode({"x": tensor}, RequestedOutput("x")).body)["outputs"]
    wanted = signature(spec("x", datatype_of(tensor), *tensor.shape))
    binary = element_bytes(tensor)

    in_json = accepted(RequestReader(wanted).decode(json.dumps({"inputs": [answer]}).encode()))
    sent = member("x", datatype_of(tensor), tensor.shape, len(binary))
    in_binary = accepted(send(wanted, sent, binary=binary))

    assert same(in_json.tensors["x"], in_binary.tensors["x"])


def test_numbers_are_not_copied_where_they_lie_well() -> None:
    wanted = signature(spec("x", "UINT8", -1))
    body = json.dumps({"inputs": [member("x", "UINT8", [3], 3)]}).encode()
    request = accepted(RequestReader(wanted).decode(body + b"\1\2\3", len(body)))

    assert not request.tensors["x"].flags.owndata


def test_json_and_binary_inputs_are_mixed_in_any_order() -> None:
    wanted = signature(spec("a", "FP32", -1), spec("b", "BYTES", -1), spec("c", "INT16", -1))
    request = accepted(
        send(
            wanted,
            member("c", "INT16", [2], 4),
            {"name": "a", "datatype": "FP32", "shape": [2], "data": [1.5, None]},
            member("b", "BYTES", [2], 11),
            binary=b"\1\0\2\0" + b"\2\0\0\0\xc3\xa9\1\0\0\0x",
        )
    )

    assert list(request.tensors) == ["a", "b", "c"]
    assert request.tensors["b"].tolist() == ["é", "x"]
    assert request.tensors["c"].tolist() == [1, 2]


# Faults of the division

X = spec("x", "FP32", -1)


@pytest.mark.parametrize("header_length", [-1, 10**12, 10_000])
def test_a_header_longer_than_the_body_is_refused(header_length: int) -> None:
    body = json.dumps({"inputs": [member("x", "FP32", [1], 4)]}).encode() + bytes(4)

    refused(RequestReader(signature(X)).decode(body, header_length), "bad-binary-header")


@pytest.mark.parametrize("value", ["-1", "+1", "abc", "", " 1", "1 ", "1.0", "٣", "²", "9" * 5000])
def test_a_header_that_is_no_length_is_one_that_no_body_has(value: str) -> None:
    length = parse_header_length(value)

    assert RequestReader(signature(X)).decode(b"{}", length) == refuse("bad-binary-header")


def test_a_length_is_read_and_absence_stays_absence() -> None:
    assert parse_header_length(None) is None
    assert parse_header_length("123") == 123


def test_a_binary_input_needs_the_header() -> None:
    body = json.dumps({"inputs": [member("x", "FP32", [1], 4)]}).encode() + bytes(4)

    assert RequestReader(signature(X)).decode(body[:-4]) == refuse("bad-binary-header")
    assert RequestReader(signature(X)).decode(body) == refuse("malformed-json")


@pytest.mark.parametrize("size", [3, 5, 8, 2**40, 2**64, -4, 4.0, "4", True, None, [4]])
def test_a_size_that_is_not_the_bodys_is_refused_with_the_inputs_name(size: Any) -> None:
    refusal = refused(
        send(signature(X), member("x", "FP32", [1], size), binary=bytes(4)), "bad-binary-size"
    )

    assert [violation.input for violation in refusal.violations] == ["x"]


@pytest.mark.parametrize(("datatype", "shape"), [("FP32", [2]), ("FP32", [0]), ("FP64", [1])])
def test_a_size_that_is_not_the_shapes_is_refused_with_the_inputs_name(
    datatype: str, shape: list[int]
) -> None:
    refusal = refused(
        send(signature(spec("x", datatype, -1)), member("x", datatype, shape, 4), binary=bytes(4)),
        "bad-binary-size",
    )

    assert [violation.input for violation in refusal.violations] == ["x"]
    assert refusal.violations[0].expected == f"{shape[0] * (8 if datatype == 'FP64' else 4)} bytes"


@pytest.mark.parametrize("sizes", [(4, 5), (5, 4), (8, 1), (4, 2**63)])
def test_sizes_must_sum_to_what_follows_the_json(sizes: tuple[int, int]) -> None:
    wanted = signature(X, spec("z", "FP32", -1))
    sent = [member(name, "FP32", [1], size) for name, size in zip("xz", sizes, strict=True)]

    for rest in (8, 7, 9, 0):
        refused(send(wanted, *sent, binary=bytes(rest)), "bad-binary-size")


def test_bytes_that_no_input_declares_are_refused() -> None:
    sent = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}

    assert send(signature(X), sent, binary=b"1") == refuse("bad-binary-size")
    accepted(send(signature(X), sent))


def test_an_input_has_data_or_a_size_and_not_both() -> None:
    refusal = refused(
        send(signature(X), member("x", "FP32", [1], 4, data=[1]), binary=bytes(4)),
        "bad-binary-size",
    )

    assert refusal.violations[0].expected == "either `data` or `binary_data_size`"


def test_an_input_with_other_parameters_and_no_data_lacks_its_data() -> None:
    sent = {"name": "x", "datatype": "FP32", "shape": [1]}
    for parameters in ({"shared_memory_region": "r"}, {}, None, 5):
        body = json.dumps({"inputs": [{**sent, "parameters": parameters}]}).encode()
        refused(RequestReader(signature(X)).decode(body), "missing-data")


def test_a_shape_that_is_too_large_is_refused_before_its_bytes_are_looked_at() -> None:
    wanted = signature(spec("x", "FP32", -1, -1))
    for shape in ([16, 2**60 + 2], [4, 2**60 + 2]):
        refused(send(wanted, member("x", "FP32", shape, 128), binary=bytes(128)), "shape-too-large")


# Faults of the elements


@pytest.mark.parametrize(
    ("binary", "shape"),
    [
        (b"\1\0\0", [1]),
        (b"\2\0\0\0x", [1]),
        (b"\xff\xff\xff\xffx", [1]),
        (b"\1\0\0\0x", [2]),
        (b"\1\0\0\0xy", [1]),
        (b"\1\0\0\0x\0\0\0\0", [1]),
        (b"", [1]),
        (b"\0\0\0\0", [0]),
        (b"\1\0\0\0\xff", [1]),
        (b"\3\0\0\0\xed\xa0\x80", [1]),
        (b"\2\0\0\0\xc0\xaf", [1]),
        (b"\1\0\0\0\xc3\1\0\0\0\xa9", [2]),
    ],
)
def test_texts_that_break_their_form_are_refused(binary: bytes, shape: list[int]) -> None:
    wanted = signature(spec("x", "BYTES", -1))
    sent = member("x", "BYTES", shape, len(binary))

    refusal = refused(send(wanted, sent, binary=binary), "bad-bytes")

    assert refusal.violations[0].input == "x"


def test_the_row_of_a_bad_text_is_named() -> None:
    wanted = signature(spec("x", "BYTES", -1, 2))
    binary = b"\0\0\0\0" * 3 + b"\1\0\0\0\xff"

    refusal = refused(
        send(wanted, member("x", "BYTES", [2, 2], len(binary)), binary=binary), "bad-bytes"
    )

    assert label(refusal.violations[0]) == "bad-bytes x[1]"


def test_a_truth_is_a_byte_0_or_1() -> None:
    wanted = signature(spec("x", "BOOL", -1, 2))

    refusal = refused(
        send(wanted, member("x", "BOOL", [2, 2], 4), binary=b"\0\1\1\2"), "dtype-mismatch"
    )

    assert label(refusal.violations[0]) == "dtype-mismatch x[1,1]"


@pytest.mark.parametrize("bits", ["0000c07f", "0100c07f", "000080ff", "0000807f"])
def test_nan_and_infinities_are_kept_bit_for_bit(bits: str) -> None:
    binary = bytes.fromhex(bits)

    request = accepted(send(signature(X), member("x", "FP32", [1], 4), binary=binary))

    assert request.tensors["x"].tobytes() == binary


@given(st.binary(max_size=64), st.integers(0, 70), st.sampled_from(list(Datatype)))
def test_any_bytes_in_any_division_get_a_value(
    binary: bytes, size: int, datatype: Datatype
) -> None:
    for shape in ([], [2], [1, 4]):
        wanted = signature(spec("x", datatype, *[-1] * len(shape)))
        result = send(wanted, member("x", datatype, shape, size), binary=binary)
        assert isinstance(result, InferRequest | Refusal)


# Raw bodies


@pytest.mark.parametrize(
    ("datatype", "wanted", "body", "shape"),
    [
        ("FP32", (-1, 3), bytes(12), (1, 3)),
        ("FP32", (2, 3), bytes(24), (2, 3)),
        ("FP32", (-1,), bytes(12), (3,)),
        ("FP32", (-1, -1), bytes(12), (1, 3)),
        ("FP32", (-1, 2, -1), bytes(16), (1, 2, 2)),
        ("FP32", (-1, 0, -1), b"", (1, 0, 0)),
        ("FP32", (), bytes(4), ()),
        ("BYTES", (1,), "é".encode(), (1,)),
        ("BYTES", (-1, 1), b"", (1, 1)),
        ("BYTES", (-1, -1), b"x", (1, 1)),
    ],
)
def test_a_raw_body_is_the_only_input(
    datatype: str, wanted: tuple[int, ...], body: bytes, shape: tuple[int, ...]
) -> None:
    request = accepted(RequestReader(signature(spec("x", datatype, *wanted))).decode(body, 0))

    tensor = request.tensors["x"]
    assert tensor.shape == shape
    assert element_bytes(tensor).endswith(body)
    assert [output.name for output in request.outputs if output.is_binary] == ["y", "s"]
    assert (request.id, request.parameters) == (None, {})


@pytest.mark.parametrize(
    "inputs",
    [
        (spec("x", "FP32", -1), spec("z", "FP32", -1)),
        (spec("x", "FP32", -1, -1, -1),),
        (spec("x", "BYTES", 2),),
    ],
)
def test_a_raw_body_needs_a_model_whose_shape_it_gives(inputs: tuple[TensorSpec, ...]) -> None:
    assert RequestReader(signature(*inputs)).decode(bytes(4), 0) == refuse("not-raw")


@pytest.mark.parametrize(("shape", "size"), [((-1, 3), 24), ((-1, 3), 11), ((-1,), 5), ((2,), 0)])
def test_a_raw_body_of_another_size_is_refused(shape: tuple[int, ...], size: int) -> None:
    wanted = signature(spec("x", "FP32", *shape))

    refusal = refused(RequestReader(wanted).decode(bytes(size), 0), "bad-binary-size")

    assert refusal.violations[0].input == "x"


def test_a_raw_text_is_utf8() -> None:
    refused(RequestReader(signature(spec("x", "BYTES", 1))).decode(b"\xff", 0), "bad-bytes")


# Answers


def test_binary_and_json_outputs_are_mixed_in_the_order_asked_for() -> None:
    outputs = {
        "a": np.array([1.5, 2], np.float16),
        "b": np.array([3], np.int8),
        "c": np.array(["é", b"\xff"], object),
    }
    encoded = encode(
        outputs,
        RequestedOutput("c", is_binary=True),
        RequestedOutput("b"),
        RequestedOutput("a", is_binary=True),
    )

    answer, binary = parts(encoded)

    assert answer == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {
                "name": "c",
                "shape": [2],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": 11},
            },
            {"name": "b", "shape": [1], "datatype": "INT8", "data": [3]},
            {"name": "a", "shape": [2], "datatype": "FP16", "parameters": {"binary_data_size": 4}},
        ],
    }
    assert binary == b"\2\0\0\0\xc3\xa9\1\0\0\0\xff" + b"\x00\x3e\x00\x40"


def test_a_binary_output_is_row_major_whatever_lies_in_memory() -> None:
    tensor = np.array([[1, 2], [3, 4]], np.int8).T

    _, binary = parts(encode({"y": tensor}, RequestedOutput("y", is_binary=True)))

    assert binary == b"\1\3\2\4"


def test_bf16_is_written_as_numbers_in_json() -> None:
    tensor = np.array([1.5, np.nan, -2], ml_dtypes.bfloat16)

    answer = json.loads(encode({"y": tensor}, RequestedOutput("y")).body)

    assert answer["outputs"][0]["data"] == [1.5, None, -2.0]
    assert answer["outputs"][0]["datatype"] == "BF16"
