"""Fields of Protocol Buffers are read as they were written, and bytes that are none are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.admission.graph import read_facts
from registry.admission.wire import Malformed, read_fields, write_field
from registry.errors import Rejected
from tests.builders import looping_model

NUMBERS = st.integers(1, (1 << 29) - 1)
VALUES = st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(NUMBERS, VALUES)))
def test_fields_are_read_as_they_were_written(fields: list[tuple[int, int | bytes]]) -> None:
    message = b"".join(write_field(number, value) for number, value in fields)
    read = list(read_fields(memoryview(message)))
    assert [(f.number, f.value) for f in read] == fields
    assert b"".join(f.raw for f in read) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_malformed(message: bytes) -> None:
    try:
        read = list(read_fields(memoryview(message)))
    except Malformed:
        return
    assert b"".join(f.raw for f in read) == message


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x0a\x05abc",
        b"\x0b",
        b"\x0d123",
        b"\x09" + b"1234567",
        b"\x00\x00",
        b"\xea\x80\x80\x80\x10\x00",
    ],
    ids=[
        "no value",
        "endless number",
        "too short",
        "group",
        "cut 32 bits",
        "cut 64 bits",
        "field 0",
        "field 13 with a bit beyond",
    ],
)
def test_what_is_cut_off_or_unknown_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        list(read_fields(memoryview(message)))


def test_integers_are_read_one_by_one_and_packed() -> None:
    packed = b"\x01\x02" + b"\xff" * 9 + b"\x01"
    single, many, text = read_fields(
        memoryview(write_field(1, 5) + write_field(2, packed) + write_field(3, b"\xff"))
    )
    assert list(single.integers()) == [5]
    assert list(many.integers()) == [1, 2, -1]
    with pytest.raises(Malformed):
        single.content()
    with pytest.raises(ValueError, match="utf-8"):
        text.text()


def test_messages_nested_without_end_need_no_stack() -> None:
    graph = b""
    for _ in range(3_000):
        graph = write_field(1, write_field(5, write_field(6, graph)))
    assert read_facts(write_field(7, graph)).unranked == frozenset()


def test_a_field_of_another_kind_than_the_schemas_is_no_model() -> None:
    with pytest.raises(Rejected, match="no ONNX model"):
        read_facts(write_field(7, 12))


def test_weights_in_other_files_are_found_however_they_are_written() -> None:
    for location in (1, (1 << 32) + 1):
        tensor = write_field(14, location)
        for path in ((7, 5), (7, 15, 1), (7, 1, 5, 5), (7, 1, 5, 6, 5), (25, 7, 5, 10), (20, 1, 5)):
            model = tensor
            for number in reversed(path):
                model = write_field(number, model)
            with pytest.raises(Rejected) as caught:
                read_facts(model)
            assert caught.value.check == "external"


def test_every_loop_of_a_real_model_is_looked_through() -> None:
    facts = read_facts(looping_model())
    assert not facts.is_random
    assert facts.unranked == frozenset()
