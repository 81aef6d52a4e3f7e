"""The canonical form: its exact bytes, which records commit to, and that it is read back."""

import struct
from math import prod

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.datatypes import Datatype
from registry.tensors import NUMPY_TYPES, Tensor, datatype_of, decode_tensors, encode_tensors

INTEGERS = [f"{kind}{bits}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)]
CODES = ["BOOL", *INTEGERS, "FP16", "FP32", "FP64", "BYTES", "BF16"]


def test_the_bytes_are_what_they_were_when_the_first_record_was_written() -> None:
    tensors = {
        "x": np.array([[1.5, -2]], np.float32),
        "ü": np.array(["é", b"\xff", ""], object),
        "": np.array(7, np.uint8),
        "b": np.array([1.5], ml_dtypes.bfloat16),
    }

    assert encode_tensors(tensors).hex() == "".join(
        [
            "01000a02" + "78" + "0100000000000000" + "0200000000000000",
            "0800000000000000" + "0000c03f" + "000000c0",
            "02000c01" + "c3bc" + "0300000000000000",
            "0f00000000000000" + "02000000c3a9" + "01000000ff" + "00000000",
            "00000100" + "0100000000000000" + "07",
            "01000d01" + "62" + "0100000000000000" + "0200000000000000" + "c03f",
        ]
    )


def test_a_datatype_keeps_its_code() -> None:
    for code, datatype in enumerate(CODES):
        tensor = np.empty(0, NUMPY_TYPES[Datatype(datatype)])
        assert encode_tensors({"": tensor})[2] == code
    assert set(CODES) == set(Datatype)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    datatype = draw(st.sampled_from(list(Datatype)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    if datatype is Datatype.BYTES:
        elements = draw(st.lists(st.binary(), min_size=prod(shape), max_size=prod(shape)))
        tensor = np.empty(prod(shape), object)
        tensor[:] = elements
        return tensor.reshape(shape)
    size = prod(shape) * NUMPY_TYPES[datatype].itemsize
    return np.frombuffer(
        draw(st.binary(min_size=size, max_size=size)), NUMPY_TYPES[datatype]
    ).reshape(shape)


@given(st.dictionaries(st.text(max_size=5), tensors(), max_size=3))
def test_what_is_encoded_is_decoded_bit_for_bit(given_tensors: dict[str, Tensor]) -> None:
    data = encode_tensors(given_tensors)

    decoded = decode_tensors(data)

    assert list(decoded) == list(given_tensors)
    for name, tensor in given_tensors.items():
        assert datatype_of(decoded[name]) == datatype_of(tensor)
        assert decoded[name].shape == tensor.shape
    assert encode_tensors(decoded) == data


@given(st.binary(max_size=60))
def test_bytes_that_are_no_canonical_form_are_refused_or_read(data: bytes) -> None:
    try:
        decode_tensors(data)
    except ValueError:
        return


def test_a_tensor_that_runs_past_the_end_is_refused() -> None:
    data = encode_tensors({"x": np.zeros(3, np.float32)})

    for cut in (data[:-1], data[:5], data[:4] + struct.pack("<B", 120)):
        with pytest.raises(ValueError, match=r"past the end|not the canonical form"):
            decode_tensors(cut)
