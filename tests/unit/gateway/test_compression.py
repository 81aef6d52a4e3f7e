"""Packed bodies: whole ones come back as they were, others are refused and cost no more."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.compression import choose_encoding, compress, decompress
from gateway.protocol.refusal import Refusal, refuse

ENCODINGS = ["gzip", "deflate"]
LIMIT = 1 << 16


def code_of(result: bytes | Refusal) -> str:
    assert isinstance(result, Refusal)
    return result.code


@given(st.binary(max_size=2000), st.sampled_from(ENCODINGS))
def test_what_is_packed_is_unpacked(body: bytes, encoding: str) -> None:
    assert decompress(compress(body, encoding), encoding, LIMIT) == body


def test_what_others_pack_is_unpacked() -> None:
    body = b"body" * 100

    assert decompress(gzip.compress(body), "gzip", LIMIT) == body
    assert decompress(zlib.compress(body, 9), "deflate", LIMIT) == body
    assert gzip.decompress(compress(body, "gzip")) == body
    assert zlib.decompress(compress(body, "deflate")) == body


def test_equal_bodies_are_packed_to_equal_bytes() -> None:
    assert compress(b"body" * 100, "gzip") == compress(b"body" * 100, "gzip")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_of_the_limit_is_unpacked_and_one_byte_more_is_not(encoding: str) -> None:
    assert decompress(compress(bytes(LIMIT), encoding), encoding, LIMIT) == bytes(LIMIT)
    beyond = decompress(compress(bytes(LIMIT + 1), encoding), encoding, LIMIT)
    assert code_of(beyond) == "body-too-large"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_costs_at_most_a_small_multiple_of_the_limit(encoding: str) -> None:
    packing = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packing.compress(bytes(1 << 22)) for _ in range(64)) + packing.flush()

    tracemalloc.start()
    try:
        code = code_of(decompress(bomb, encoding, LIMIT))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert code == "body-too-large"
    # The bytes not unpacked are kept once by zlib; of the 256 MiB, no more than the limit.
    assert peak < len(bomb) + 4 * LIMIT


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_cut_of_a_packed_body_is_refused(encoding: str) -> None:
    packed = compress(b"some body that is packed", encoding)

    for length in range(len(packed)):
        assert decompress(packed[:length], encoding, LIMIT) == refuse("malformed-encoding")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("tail", [b"\0", b"x", b"a second member"])
def test_nothing_may_follow_a_packed_body(encoding: str, tail: bytes) -> None:
    packed = compress(b"body", encoding)

    for following in (tail, packed):
        assert decompress(packed + following, encoding, LIMIT) == refuse("malformed-encoding")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_packed_body_that_was_changed_is_refused(encoding: str) -> None:
    packed = bytearray(compress(b"some body that is packed", encoding))
    packed[-1] ^= 1  # of the checksum, or of the length behind it

    assert decompress(bytes(packed), encoding, LIMIT) == refuse("malformed-encoding")


@given(st.binary(), st.sampled_from(ENCODINGS))
def test_any_bytes_get_a_value(body: bytes, encoding: str) -> None:
    assert isinstance(decompress(body, encoding, LIMIT), bytes | Refusal)


def test_one_format_does_not_pass_for_the_other() -> None:
    raw = zlib.compressobj(wbits=-15)

    for body, encoding in [
        (compress(b"body", "gzip"), "deflate"),
        (compress(b"body", "deflate"), "gzip"),
        (raw.compress(b"body") + raw.flush(), "deflate"),
    ]:
        assert decompress(body, encoding, LIMIT) == refuse("malformed-encoding")


def test_identity_is_no_packing_and_others_are_not_served() -> None:
    assert decompress(b"body", "identity", LIMIT) == b"body"
    for encoding in ("br", "zstd", "x-gzip", "gzip, gzip", ""):
        assert code_of(decompress(b"body", encoding, LIMIT)) == "unsupported-encoding"


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (None, None),
        ("", None),
        ("*", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br, deflate", "deflate"),
        ("deflate;q=0.1, gzip;q=1", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip; q=0.000, deflate;q=0", None),
        ("gzipped", None),
    ],
)
def test_an_answer_is_packed_only_as_the_caller_names(
    accepted: str | None, chosen: str | None
) -> None:
    assert choose_encoding(accepted) == chosen
