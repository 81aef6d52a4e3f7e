"""Texts: values by name where few, digests where many, words and lengths where long.

What fewer than `LEAST_COUNT` rows share is never kept as it is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from registry.distribution import (
    BUCKETS,
    LEAST_COUNT,
    Categorical,
    FreeText,
    HighCardinality,
)
from registry.reference.numeric import count_bins, place_edges
from registry.text_digest import BloomFilter, bucket, digest, make_filter, words

MOST_VALUES = 200
MOST_FREQUENT = 50
LONGEST_VALUE = 256  # in characters
# Values by name must cover as much, where there are more than `MOST_VALUES` in all.
_LEAST_COVERED = 0.9
_LEAST_WORDS = 5
_ROWS_OF_A_LOOK = 1000
# As many texts or more that were never seen are taken for known: a "known" proves nothing of one.
_DENIABLE = 0.25
_FALSE_WORDS = 0.01

Count = tuple[str, int]


def describe_texts(texts: Sequence[str]) -> Categorical | HighCardinality | FreeText:
    """Describe texts, at least one and none empty.

    Categorical where values with `LEAST_COUNT` rows cover nine of ten texts; else FreeText where
    texts have five words or more on average; else HighCardinality where there are more than
    `MOST_VALUES` values.
    """
    ranked = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    kept = _common(ranked, MOST_VALUES)
    other = len(texts) - sum(count for _, count in kept)
    if other <= (1 - _LEAST_COVERED) * len(texts):
        return _categorical(ranked, kept, other)
    if _words_of_a_text(texts) >= _LEAST_WORDS:
        return _free_text(texts)
    if len(ranked) > MOST_VALUES:
        return _high_cardinality(ranked)
    return _categorical(ranked, kept, other)


def _common(ranked: Iterable[Count], most: int) -> list[Count]:
    """Choose the values that may be kept by name, most frequent first."""
    common = (
        (value, count)
        for value, count in ranked
        if count >= LEAST_COUNT and len(value) <= LONGEST_VALUE
    )
    return [item for item, _ in zip(common, range(most), strict=False)]


def _categorical(ranked: list[Count], kept: list[Count], other: int) -> Categorical:
    named = {value for value, _ in kept}
    others = (
        (digest(value), count) for value, count in (ranked if other else ()) if value not in named
    )
    return Categorical(
        values=tuple(value for value, _ in kept),
        counts=tuple(count for _, count in kept),
        other=other,
        buckets=_buckets(others) if other else (),
    )


def _high_cardinality(ranked: list[Count]) -> HighCardinality:
    """Describe values by their digests.

    A value that was never seen is expected as often as one was seen once (I. J. Good, Biometrika 40
    (1953), p. 237). Where that is most of them no filter is kept: it would tell of nothing but of
    who was in the training data.
    """
    digests = {digest(value): count for value, count in ranked}
    once = sum(count == 1 for _, count in ranked)
    is_new_as_a_rule = 2 * once > sum(count for _, count in ranked)
    known = BloomFilter() if is_new_as_a_rule else make_filter(digests, _DENIABLE)
    frequent = _common(ranked, MOST_FREQUENT)
    return HighCardinality(
        distinct=len(ranked),
        values=tuple(value for value, _ in frequent),
        counts=tuple(count for _, count in frequent),
        buckets=_buckets(digests.items()),
        bloom=known.write(),
        hashes=known.hashes,
        unseen=round(once * (1 - known.false_share)),
    )


def _free_text(texts: Sequence[str]) -> FreeText:
    """Describe texts by their lengths and words; words of few texts are in no filter."""
    occurrences: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    for text in texts:
        found = words(text)
        occurrences.update(found)
        spread.update(set(found))
    digests = {word: digest(word) for word in occurrences}
    vocabulary = [digests[word] for word, count in spread.items() if count >= LEAST_COUNT]
    known = make_filter(vocabulary, _FALSE_WORDS)
    lengths = np.sort(np.array([len(text) for text in texts], np.float64))
    edges, _ = place_edges(lengths, np.dtype(np.int64))
    return FreeText(
        length_edges=edges,
        length_counts=count_bins(edges, lengths),
        non_ascii=sum(not text.isascii() for text in texts),
        words=occurrences.total(),
        buckets=_buckets((digests[word], count) for word, count in occurrences.items()),
        bloom=known.write(),
        hashes=known.hashes,
        unseen=sum(n for word, n in occurrences.items() if digests[word] not in known),
    )


def _words_of_a_text(texts: Sequence[str]) -> float:
    """Average the words of up to 2,000 texts, parted by white space: a URL is one word."""
    looked_at = texts[:: max(1, len(texts) // _ROWS_OF_A_LOOK)]
    return sum(len(text.split()) for text in looked_at) / len(looked_at)


def _buckets(counts: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Sum counts by the bucket of their digest."""
    found = [0] * BUCKETS
    for text_digest, count in counts:
        found[bucket(text_digest)] += count
    return tuple(found)
