"""Where each live value is counted: one flat vector of integers for a version, by its reference.

A summary is such a vector, of any set of rows. Summaries of any sets add cell by cell, exactly and
in any order, so it does not matter which worker saw a row, nor when its counts arrived. The
reference's own counts stand in the same cells. Knows no numpy: the controller has none.
"""

import sys
from array import array
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.monitor.cells import (
    MISSING,
    NON_ASCII,
    OUTSIDE,
    REACH,
    UNIT,
    UNSEEN,
    UNSEEN_WORDS,
    Count,
    FeatureCells,
    Moments,
    Side,
    Split,
)
from registry.distribution import (
    Categorical,
    Discrete,
    Embedding,
    Feature,
    FreeText,
    HighCardinality,
    Joint,
    Numeric,
    Reference,
)
from registry.windows import CELL

_LEAST_SCALE = 1e-290  # whose reciprocal is a number, times `UNIT` as well


class Layout:
    """The cells of one version: `features` in the order inputs, joint, outputs.

    `reference` has the reference's own counts; cell 0 is the number of rows.
    """

    __slots__ = ("features", "reference", "size")

    def __init__(self, features: tuple[FeatureCells, ...], reference: tuple[int, ...]) -> None:
        self.features = features
        self.reference = reference
        self.size = len(reference)

    @classmethod
    def of(cls, reference: Reference) -> "Layout":
        """Lay out the cells of a reference; the same reference always gets the same layout."""
        cells = _Cells([reference.rows])
        features = [_feature(cells, Side.INPUT, feature) for feature in reference.features]
        if reference.joint is not None:
            features.append(_joint(cells, reference.joint))
        features += [_feature(cells, Side.OUTPUT, feature) for feature in reference.outputs]
        return cls(tuple(features), tuple(cells.counts))

    def fits(self, counts: bytes) -> bool:
        """Say whether bytes can be a summary; those of an earlier program may have other cells."""
        return len(counts) == self.size * CELL

    def empty(self) -> list[int]:
        """Return the summary of no rows."""
        return [0] * self.size


def merge(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Add two summaries. Raises ValueError where they are of different layouts."""
    return [a + b for a, b in zip(one, other, strict=True)]


def to_bytes(summary: Sequence[int]) -> bytes:
    """Write a summary, 8 bytes a cell, little-endian. Raises OverflowError beyond 64 bits."""
    return _little_endian(array("q", summary)).tobytes()


def from_bytes(data: bytes) -> list[int]:
    """Read what `to_bytes` wrote. Raises ValueError where the bytes are no whole cells."""
    cells = array("q")
    cells.frombytes(data)
    return _little_endian(cells).tolist()


def _little_endian(cells: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        cells.byteswap()
    return cells


class _Cells:
    """Gives out cells one after the other, each with the reference's count."""

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    def take(self, *counts: int) -> range:
        start = len(self.counts)
        self.counts += counts
        return range(start, len(self.counts))

    def ordered(self, edges: tuple[float, ...], counts: tuple[int, ...], noun: str = "") -> Split:
        bins = self.take(*counts)
        return Split(bins, bins, edges=edges, noun=noun, is_ordered=True)

    def one(self, what: str, count: int, among: range) -> Count:
        return Count(what, self.take(count).start, among)

    def missing(self, missing: int, present: range) -> Count:
        """Take the cell after those of the values present."""
        cell = self.take(missing).start
        return Count(MISSING, cell, range(present.start, cell + 1))


def _feature(cells: _Cells, side: Side, feature: Feature) -> FeatureCells:
    distribution = feature.distribution
    moments = None
    if isinstance(distribution, Numeric):
        splits, counts = _numeric(cells, feature, distribution)
        moments = _moments(cells, feature, distribution)
    elif isinstance(distribution, Discrete | Categorical):
        splits, counts = _listed(cells, feature, distribution)
    elif isinstance(distribution, HighCardinality):
        splits, counts = _high_cardinality(cells, feature, distribution)
    elif isinstance(distribution, FreeText):
        splits, counts = _free_text(cells, feature, distribution)
    elif isinstance(distribution, Embedding):
        splits, counts = _embedding(cells, feature, distribution)
    else:
        splits, counts = (), _never_present(cells, feature)
    return FeatureCells(
        side=side,
        input=feature.input,
        column=feature.column,
        distribution=distribution,
        splits=splits,
        counts=counts,
        moments=moments,
    )


_Parts = tuple[tuple[Split, ...], tuple[Count, ...]]


def _numeric(cells: _Cells, feature: Feature, numeric: Numeric) -> _Parts:
    split = replace(cells.ordered(numeric.edges, numeric.bin_counts), spikes=numeric.spikes)
    missing = cells.missing(feature.missing, split.bins)
    return (split,), (missing, cells.one(OUTSIDE, 0, split.bins))


def _moments(cells: _Cells, feature: Feature, numeric: Numeric) -> Moments:
    scale = max(numeric.std or abs(numeric.mean) or 1.0, _LEAST_SCALE)
    spread = round((numeric.std / scale * UNIT) ** 2)
    sums = cells.take(feature.count * REACH, feature.count * spread)
    return Moments(sums[0], sums[1], numeric.mean, scale)


def _listed(cells: _Cells, feature: Feature, listed: Discrete | Categorical) -> _Parts:
    """Lay out values that were all seen: what is none of them, nor of their buckets, is unseen."""
    others: tuple[int, ...] = ()
    if isinstance(listed, Categorical) and listed.other:
        # References of earlier versions have no buckets: whatever they do not name is one of many.
        others = listed.buckets or (listed.other,)
    bins = cells.take(*listed.counts, *others)
    unseen = cells.take(0).start
    present = range(bins.start, unseen + 1)
    split = Split(
        bins,
        present,
        values=tuple(str(value) for value in listed.values),
        is_ordered=isinstance(listed, Discrete),
    )
    return (split,), (cells.missing(feature.missing, present), Count(UNSEEN, unseen, present))


def _high_cardinality(cells: _Cells, feature: Feature, texts: HighCardinality) -> _Parts:
    buckets = cells.take(*texts.buckets)
    missing = cells.missing(feature.missing, buckets)
    values = cells.take(*texts.counts)
    unseen = cells.one(UNSEEN, texts.unseen, buckets)
    return (
        (Split(buckets, buckets), Split(values, buckets, values=texts.values)),
        (missing, unseen),
    )


def _free_text(cells: _Cells, feature: Feature, texts: FreeText) -> _Parts:
    lengths = cells.ordered(texts.length_edges, texts.length_counts, "lengths")
    missing = cells.missing(feature.missing, lengths.bins)
    non_ascii = cells.one(NON_ASCII, texts.non_ascii, lengths.bins)
    words = cells.take(*texts.buckets)
    unseen = cells.one(UNSEEN_WORDS, texts.unseen, words)
    return (lengths, Split(words, words, noun="words")), (missing, non_ascii, unseen)


def _embedding(cells: _Cells, feature: Feature, vectors: Embedding) -> _Parts:
    norms = cells.ordered(vectors.norm_edges, vectors.norm_counts, "norms")
    missing = cells.missing(feature.missing, norms.bins)
    signs = Split(
        cells.take(*vectors.above),
        norms.bins,
        values=tuple(f"along direction {number}" for number in range(len(vectors.above))),
        noun="vectors",
        is_exclusive=False,
    )
    return (norms, signs), (missing,)


def _never_present(cells: _Cells, feature: Feature) -> tuple[Count, ...]:
    unseen = cells.take(0)
    missing = cells.missing(feature.missing, unseen)
    return missing, Count(UNSEEN, unseen.start, missing.among)


def _joint(cells: _Cells, joint: Joint) -> FeatureCells:
    split = cells.ordered(joint.edges, joint.bin_counts, "squared distances")
    return FeatureCells(Side.JOINT, "", None, joint, (split,), ())
