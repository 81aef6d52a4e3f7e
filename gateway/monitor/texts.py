"""Texts counted by their value, by the bucket of their digest, by their length and their words."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from gateway.monitor.cells import MISSING, NON_ASCII, UNSEEN, UNSEEN_WORDS, FeatureCells
from gateway.monitor.grid import Counts
from registry.distribution import Categorical, FreeText, HighCardinality
from registry.text_digest import BloomFilter, bucket, digest, words

Text = str | bytes
_Found = Mapping[Text, int]

# What comes after as many characters is not split into words: one caller's text must not hold up
# all others.
LONGEST_TEXT = 65_536


class TextCounter:
    """Counts the texts of one feature; bytes that are no UTF-8 are a text never seen."""

    def __init__(self, feature: FeatureCells) -> None:
        self._missing = feature.cell(MISSING)
        kind = feature.distribution
        self._counter: _Values | _Digests | _Words | _Unseen
        if isinstance(kind, Categorical):
            self._counter = _Values(feature, kind)
        elif isinstance(kind, HighCardinality):
            self._counter = _Digests(feature, kind)
        elif isinstance(kind, FreeText):
            self._counter = _Words(feature, kind)
        else:
            self._counter = _Unseen(feature)

    def count(self, elements: Iterable[Text], counts: Counts) -> None:
        """Add texts to the cells of a summary; the empty text is a missing value."""
        found = Counter(elements)
        counts[self._missing] += found.pop("", 0) + found.pop(b"", 0)
        self._counter.count(found, counts)


class _Unseen:
    """Counts texts where training had none."""

    def __init__(self, feature: FeatureCells) -> None:
        self._unseen = feature.cell(UNSEEN)

    def count(self, found: _Found, counts: Counts) -> None:
        counts[self._unseen] += sum(found.values())


class _Values:
    """Counts texts that were all seen, by value or by the bucket of those that were not kept."""

    def __init__(self, feature: FeatureCells, kind: Categorical) -> None:
        bins = feature.splits[0].bins
        self._cells = _by_text(kind.values, bins)
        self._unseen = feature.cell(UNSEEN)
        others = bins[len(kind.values) :]
        # An empty bucket counts nothing: what falls into it was never seen.
        self._buckets = [
            cell if count else self._unseen
            for cell, count in zip(others, kind.buckets, strict=bool(kind.buckets))
        ]
        self._other = others[0] if others and not kind.buckets else self._unseen

    def count(self, found: _Found, counts: Counts) -> None:
        for text, times in found.items():
            cell = self._cells.get(text)
            counts[self._other_cell(text) if cell is None else cell] += times

    def _other_cell(self, text: Text) -> int:
        if _read(text) is None:
            return self._unseen
        return self._buckets[bucket(digest(text))] if self._buckets else self._other


class _Digests:
    """Counts texts by bucket, the most frequent of training by value as well."""

    def __init__(self, feature: FeatureCells, kind: HighCardinality) -> None:
        buckets, values = feature.splits
        self._buckets = buckets.bins
        self._cells = _by_text(kind.values, values.bins)
        self._unseen = feature.cell(UNSEEN)
        self._known = BloomFilter.read(kind.bloom, kind.hashes)

    def count(self, found: _Found, counts: Counts) -> None:
        for text, times in found.items():
            text_digest = digest(text)
            counts[self._buckets[bucket(text_digest)]] += times
            cell = self._cells.get(text)
            if cell is not None:
                counts[cell] += times
            elif text_digest not in self._known or _read(text) is None:
                counts[self._unseen] += times


class _Words:
    """Counts texts by length, and their words by bucket."""

    def __init__(self, feature: FeatureCells, kind: FreeText) -> None:
        lengths, buckets = feature.splits
        self._edges, self._lengths = lengths.edges, lengths.bins
        self._buckets = buckets.bins
        self._non_ascii = feature.cell(NON_ASCII)
        self._unseen = feature.cell(UNSEEN_WORDS)
        self._known = BloomFilter.read(kind.bloom, kind.hashes)

    def count(self, found: _Found, counts: Counts) -> None:
        in_texts: Counter[str] = Counter()
        for raw, times in found.items():
            text = raw if isinstance(raw, str) else raw.decode(errors="replace")
            counts[self._lengths[bisect_left(self._edges, len(text))]] += times
            counts[self._non_ascii] += times * (not text.isascii())
            for word in words(text[:LONGEST_TEXT]):
                in_texts[word] += times
        for word, times in in_texts.items():
            word_digest = digest(word)
            counts[self._buckets[bucket(word_digest)]] += times
            counts[self._unseen] += times * (word_digest not in self._known)


def _by_text(values: Iterable[str], cells: Iterable[int]) -> dict[Text, int]:
    """Find cells by texts, as models return them and as callers send them."""
    by_text: dict[Text, int] = {}
    for value, cell in zip(values, cells, strict=False):
        by_text[value] = by_text[value.encode("utf-8", "surrogatepass")] = cell
    return by_text


def _read(text: Text) -> str | None:
    """Read a text; None where bytes are no UTF-8."""
    if isinstance(text, str):
        return text
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None
