"""What may become more frequent than it was in training: the events that a detector bets on.

An event happens to a value or does not; its share is that of the values it happened to. For a
feature these are: at or below an edge, above an edge, in a bin, not in a bin, missing, unseen.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate

from msgspec import Struct

from gateway.monitor.cells import MISSING, Count, FeatureCells, Split
from gateway.monitor.layout import Layout


class Kind(StrEnum):
    """What events of a group are about."""

    EDGE = "edge"  # at or below one, or above it
    BIN = "bin"  # in one, or not
    COUNT = "count"  # missing, unseen and the like


class Group(Struct, frozen=True):
    """Events of one kind that happen among the same values.

    Where `is_two_sided`, the second half are the opposites of the first. `burst` is how many of
    these values come from one row of the reference on average, since such values go together.
    """

    feature: int
    kind: Kind
    source: Split | Count
    cells: range
    among: range
    burst: float = 1.0

    @property
    def is_of_missing(self) -> bool:
        return isinstance(self.source, Count) and self.source.what == MISSING

    @property
    def is_two_sided(self) -> bool:
        return self.kind is not Kind.COUNT

    @property
    def bases(self) -> int:
        """How many events there are, without opposites."""
        return len(self.cells) - (self.kind is Kind.EDGE)

    def total(self, summary: Sequence[int]) -> int:
        """Count the values among which the events happen."""
        return sum(summary[self.among.start : self.among.stop])

    def happened(self, summary: Sequence[int], total: int) -> list[int]:
        """Count each event among `total` values."""
        found = list(summary[self.cells.start : self.cells.stop])
        if self.kind is Kind.EDGE:
            found = list(accumulate(found[:-1]))
        return found + [total - count for count in found] if self.is_two_sided else found

    def words(self, event: int, *, opposite: bool) -> str:
        """Say in words what the share of an event is; of a bin, also where it is the opposite."""
        if isinstance(self.source, Count):
            return self.source.what
        if self.kind is Kind.EDGE:
            return self.source.edge_words(event, is_above=opposite)
        return self.source.bin_words(event)


def list_groups(layout: Layout) -> list[Group]:
    """List the groups of events of a layout, feature after feature."""
    return [
        group
        for index, feature in enumerate(layout.features)
        for group in _of_feature(index, feature, layout.reference)
    ]


def _of_feature(index: int, feature: FeatureCells, reference: Sequence[int]) -> list[Group]:
    found = []
    for split in feature.splits:
        burst = _burst(split.among, feature, reference)
        if split.edges:
            found.append(Group(index, Kind.EDGE, split, split.bins, split.among, burst))
        found.append(Group(index, Kind.BIN, split, split.bins, split.among, burst))
    for count in feature.counts:
        cells = range(count.cell, count.cell + 1)
        burst = _burst(count.among, feature, reference)
        found.append(Group(index, Kind.COUNT, count, cells, count.among, burst))
    return found


def _burst(among: range, feature: FeatureCells, reference: Sequence[int]) -> float:
    """Say how many values a row has: one, but for the words of a text."""
    if not feature.splits or among.start == feature.splits[0].among.start:
        return 1.0
    values = sum(reference[among.start : among.stop])
    rows = sum(reference[cell] for cell in feature.splits[0].among)
    return max(1.0, values / rows) if rows else 1.0
