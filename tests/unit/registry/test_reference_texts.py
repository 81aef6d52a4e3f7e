"""Texts are counted by name, by digest or by their words, and a rare one is kept nowhere."""

import msgspec
import numpy as np
import pytest

from registry.distribution import LEAST_COUNT, Categorical, FreeText, HighCardinality
from registry.reference.texts import LONGEST_VALUE, MOST_FREQUENT, MOST_VALUES, describe_texts
from registry.text_digest import BloomFilter, bucket, digest, words


def high_cardinality(texts: list[str]) -> HighCardinality:
    found = describe_texts(texts)
    assert isinstance(found, HighCardinality)
    return found


def free_text(texts: list[str]) -> FreeText:
    found = describe_texts(texts)
    assert isinstance(found, FreeText)
    return found


def places(n: int, rows: int) -> list[str]:
    return [f"place-{i}" for i in np.random.default_rng(2).integers(0, n, rows)]


def notes(n: int) -> list[str]:
    random = np.random.default_rng(4)
    known = [f"word{i}" for i in range(200)]
    return [" ".join(random.choice(known, int(random.integers(5, 30)))) for _ in range(n)]


def test_texts_seen_often_are_kept_by_name_most_frequent_first() -> None:
    found = describe_texts(["b"] * 20 + ["a"] * 20 + ["c"] * 30)
    assert found == Categorical(values=("c", "a", "b"), counts=(30, 20, 20), other=0)


def test_rare_texts_are_counted_by_their_bucket_and_not_kept() -> None:
    rare = [f"patient-{i}" for i in range(5)] * (LEAST_COUNT - 1)
    found = describe_texts(["common"] * 2000 + rare)
    assert isinstance(found, Categorical)
    assert (found.values, found.other, sum(found.buckets)) == (("common",), len(rare), len(rare))
    expected = np.bincount([bucket(digest(text)) for text in rare], minlength=64)
    assert found.buckets == tuple(expected)
    assert b"patient" not in msgspec.json.encode(found)


def test_a_few_texts_outside_the_named_ones_leave_it_categorical() -> None:
    found = describe_texts([f"v{i:03}" for i in range(MOST_VALUES + 5) for _ in range(LEAST_COUNT)])
    assert isinstance(found, Categorical)
    assert (len(found.values), found.other) == (MOST_VALUES, 5 * LEAST_COUNT)


def test_few_values_are_categorical_however_rare() -> None:
    found = describe_texts(["a", "b", "c"])
    assert isinstance(found, Categorical)
    assert (found.values, found.other) == ((), 3)


def test_a_long_value_is_not_kept_by_name() -> None:
    found = describe_texts(["x" * (LONGEST_VALUE + 1)] * 30 + ["y"] * 970)
    assert isinstance(found, Categorical)
    assert (found.values, found.other) == (("y",), 30)


@pytest.mark.parametrize(
    "value", ["order-{}", "https://example.org/a/{}/b?c=d&e=f&g=h", "{}@example.org"]
)
def test_many_values_without_words_are_of_high_cardinality(value: str) -> None:
    found = high_cardinality([value.format(i) for i in range(1000)])
    assert found.distinct == 1000
    assert sum(found.buckets) == 1000


def test_a_value_that_was_seen_is_known_and_one_that_was_not_mostly_not() -> None:
    texts = places(3000, 20_000)
    found = high_cardinality(texts)
    known = BloomFilter.read(found.bloom, found.hashes)
    assert all(digest(text) in known for text in texts)
    unknown = sum(digest(f"{text}.") not in known for text in set(texts)) / found.distinct
    assert unknown == pytest.approx(1 - known.false_share, abs=0.05)


def test_a_guess_proves_nothing_of_a_value() -> None:
    found = high_cardinality(places(3000, 20_000))
    assert BloomFilter.read(found.bloom, found.hashes).false_share > 0.24


def test_as_many_new_rows_are_unseen_as_the_reference_expects() -> None:
    texts = places(20_000, 80_000)
    training, later = texts[:40_000], texts[40_000:]
    found = high_cardinality(training)
    known = BloomFilter.read(found.bloom, found.hashes)
    unseen = sum(digest(text) not in known for text in later)
    assert unseen / len(later) == pytest.approx(found.unseen / len(training), abs=0.01)
    assert found.unseen > 0


def test_no_filter_is_kept_of_values_that_are_new_as_a_rule() -> None:
    found = high_cardinality([f"person-{i}" for i in range(1000)])
    assert (found.bloom, found.hashes, found.unseen) == ("", 0, 0)


def test_the_most_frequent_of_many_values_are_kept_by_name() -> None:
    found = high_cardinality(["top"] * 500 + places(3000, 3000))
    assert (found.values, found.counts) == (("top",), (500,))
    common = [f"{i}" for i in range(600) for _ in range(LEAST_COUNT)]
    assert len(high_cardinality(common).values) == MOST_FREQUENT


def test_texts_of_words_are_counted_by_length_and_by_word() -> None:
    texts = [*notes(500), "Größe eins zwei drei vier fünf"]
    found = free_text(texts)
    lengths = np.array([len(text) for text in texts])
    edges = [-np.inf, *found.length_edges, np.inf]
    for low, high, count in zip(edges, edges[1:], found.length_counts, strict=False):
        assert np.count_nonzero((lengths > low) & (lengths <= high)) == count
    assert found.non_ascii == 1
    assert found.words == sum(len(words(text)) for text in texts) == sum(found.buckets)


def test_words_of_few_texts_are_in_no_filter_and_counted_as_unseen() -> None:
    texts = [*notes(1000), "patient Ravindra Kottapalli was here again today"]
    found = free_text(texts)
    known = BloomFilter.read(found.bloom, found.hashes)
    assert digest("word7") in known
    assert digest("ravindra") not in known
    assert digest("kottapalli") not in known
    assert found.unseen == sum(digest(word) not in known for t in texts for word in words(t))
    assert 0 < found.unseen <= 7


def test_a_word_that_one_text_repeats_is_still_rare() -> None:
    found = free_text([*notes(300), "secret " * 100])
    assert digest("secret") not in BloomFilter.read(found.bloom, found.hashes)


def test_texts_without_a_letter_are_described() -> None:
    found = free_text([f"{'. ' * 6}{'!' * i}" for i in range(300)])
    assert (found.words, found.unseen, sum(found.buckets)) == (0, 0, 0)
