"""Texts are digested alike by whoever makes a reference and whoever counts live texts."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.distribution import BUCKETS
from registry.text_digest import BloomFilter, bucket, digest, make_filter, words


def digests(kind: str, n: int) -> set[int]:
    return {digest(f"{kind}-{i}") for i in range(n)}


def test_the_digest_of_a_text_never_changes() -> None:
    assert digest("") == 0xBA29D50E60767220
    assert digest("Zürich") == 0x3AE0A29251EDFA2F


def test_another_process_digests_a_text_alike() -> None:
    program = "from registry.text_digest import digest; print(digest('Zürich'))"
    for seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(answer.stdout) == digest("Zürich")


@settings(derandomize=True)
@given(st.text(st.characters(exclude_categories=())))
def test_every_text_has_a_digest_and_a_bucket(text: str) -> None:
    found = digest(text)
    assert found == digest(text.encode("utf-8", "surrogatepass"))
    assert 0 <= found < 2**64
    assert 0 <= bucket(found) < BUCKETS


def test_bytes_that_are_no_utf_8_have_a_digest() -> None:
    assert digest(b"\xff\xfe") != digest(b"\xff")


def test_buckets_are_filled_evenly() -> None:
    counts = [0] * BUCKETS
    for found in digests("id", 6400):
        counts[bucket(found)] += 1
    assert sum((count - 100) ** 2 / 100 for count in counts) < 104  # .1 % of chi-square, 63 degrees


def test_words_are_runs_of_letters_and_digits_in_lower_case() -> None:
    assert words("Flüge nach NEW-YORK, 2013_07!") == ["flüge", "nach", "new", "york", "2013", "07"]
    assert words(" \n-_-") == []


@pytest.mark.parametrize("n", [1, 20, 1000, 20_000])
def test_a_filter_knows_every_text_that_was_put_in(n: int) -> None:
    known = digests("known", n)
    bloom = make_filter(known, 0.25)
    assert all(one in bloom for one in known)


@pytest.mark.parametrize(("false_share", "n"), [(0.25, 3000), (0.02, 3000), (0.25, 20_000)])
def test_a_filter_knows_about_as_many_others_as_was_asked(false_share: float, n: int) -> None:
    bloom = make_filter(digests("known", n), false_share)
    others = digests("other", 4000)
    found = sum(one in bloom for one in others) / len(others)
    assert found == pytest.approx(bloom.false_share, abs=0.03)
    assert 0.95 * false_share <= bloom.false_share <= false_share**0.45


def test_a_filter_never_grows_beyond_its_bound() -> None:
    bloom = make_filter(digests("known", 50_000), 0.01)
    assert len(bloom.write()) < 11_000
    assert bloom.false_share < 0.6


def test_a_filter_is_read_as_it_was_written() -> None:
    bloom = make_filter(digests("known", 100), 0.25)
    again = BloomFilter.read(bloom.write(), bloom.hashes)
    assert (again.bits, again.hashes) == (bloom.bits, bloom.hashes)


def test_a_filter_does_not_depend_on_the_order_of_its_texts() -> None:
    known = sorted(digests("known", 100))
    assert make_filter(known, 0.1).bits == make_filter(known[::-1], 0.1).bits


def test_a_filter_without_bits_knows_everything_and_one_without_texts_nothing() -> None:
    assert digest("any") in BloomFilter()
    assert BloomFilter.read("", 0).false_share == 1
    assert digest("any") not in make_filter([], 0.25)
    assert make_filter([], 0.25).false_share == 0
