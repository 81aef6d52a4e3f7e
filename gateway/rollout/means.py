"""Counts how far the mean of the challenger lies from the champion's, block by block.

A mean is of whole numbers, `UNIT`ths of the margin that is allowed, so that sums are exact.
"""

from array import array
from collections.abc import Sequence

from msgspec import Struct

from gateway.rollout.scatter import SCALES

UNIT = 1 << 10
# Beyond so many margins a value, or the difference of a block, counts as that many: squares of
# half a million such blocks still fit a cell.
_FARTHEST = float(1 << 30)
_REACH = UNIT << 12
_TOTALS = 2
_PER_SCALE = 4
MEANS_SIZE = _TOTALS + _PER_SCALE * len(SCALES)


class Differences(Struct, frozen=True):
    """Differences of means, challenger less champion, in margins: over so many blocks."""

    blocks: int
    total: float
    squares: float


class Means(Struct, frozen=True):
    """The differences by scale, of so many values of each lane; of pairs both are the same."""

    challenger: int
    champion: int
    scales: tuple[Differences, ...]


class _Sum:
    """The values of both lanes, champion first, in blocks that are joined."""

    __slots__ = ("blocks", "counts", "totals")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.totals, self.counts, self.blocks = [0, 0], [0, 0], 0


class MeanCells:
    """Counts into a vector, from `start` on; `margin` is how far a mean may fall behind.

    Where values are differences of pairs, those of the challenger are all there are.
    """

    def __init__(self, cells: "array[int]", start: int, margin: float, *, is_paired: bool) -> None:
        self._cells = cells
        self._start = start
        self._is_paired = is_paired
        self._factor = UNIT / margin
        self._farthest = _FARTHEST * margin
        self._open = _Sum()
        self._joined = [_Sum() for _ in SCALES]

    def add(self, lane: int, value: float | None) -> None:
        """Add a value of the champion, lane 0, or of the challenger, 1; None and NaN are none."""
        if value is not None and value == value:  # noqa: PLR0124 - NaN is not
            bounded = max(-self._farthest, min(self._farthest, value))
            self._open.totals[lane] += round(bounded * self._factor)
            self._open.counts[lane] += 1

    def close(self) -> None:
        """End the block."""
        champion, challenger = self._open.counts
        if self._is_paired:
            champion = challenger
        if not champion or not challenger:
            return
        self._cells[self._start] += challenger
        self._cells[self._start + 1] += champion
        at = self._start + _TOTALS
        for scale, joined in zip(SCALES, self._joined, strict=True):
            for lane in (0, 1):
                joined.totals[lane] += self._open.totals[lane]
                joined.counts[lane] += self._open.counts[lane]
            joined.blocks += 1
            if joined.blocks == scale:
                self._note(at, self._difference(joined))
                joined.clear()
            at += _PER_SCALE
        self._open.clear()

    def _difference(self, joined: _Sum) -> int:
        theirs, ours = joined.totals
        champion, challenger = (1, joined.counts[1]) if self._is_paired else joined.counts
        found = (ours * champion - theirs * challenger) // (champion * challenger)
        return max(-_REACH, min(_REACH, found))

    def _note(self, at: int, difference: int) -> None:
        self._cells[at] += 1
        self._cells[at + 1] += max(difference, 0)
        self._cells[at + 2] += max(-difference, 0)
        self._cells[at + 3] += difference * difference


def read_means(counts: Sequence[int], start: int) -> Means:
    """Read what `MeanCells` counted."""
    first = start + _TOTALS
    scales = []
    for at in range(first, first + _PER_SCALE * len(SCALES), _PER_SCALE):
        blocks, above, below, squares = counts[at : at + _PER_SCALE]
        scales.append(Differences(blocks, (above - below) / UNIT, squares / UNIT**2))
    return Means(counts[start], counts[start + 1], tuple(scales))
