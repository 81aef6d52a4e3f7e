"""Counts in how many pairs the answers of challenger and champion differ."""

from array import array
from collections.abc import Sequence

from msgspec import Struct

from gateway.rollout import scatter
from gateway.rollout.scatter import Scatter, ScatterCells, read_scatter

PART = 1 << 10  # parts of a pair
PAIRS_SIZE = 2 + scatter.SIZE


class Pairs(Struct, frozen=True):
    """So many pairs, of which so many differ, and how they scatter about the share allowed."""

    pairs: int
    differing: int
    scatter: tuple[Scatter, ...]


class PairCells:
    """Counts into a vector, from `start` on; `margin` is the share that may differ.

    `pairs` and `differing` are those of the open block.
    """

    def __init__(self, cells: "array[int]", start: int, margin: float) -> None:
        self.pairs = self.differing = 0
        self._cells = cells
        self._start = start
        self._allowed = round(margin * PART)
        self._scatter = ScatterCells(cells, start + 2, 1)

    def close(self) -> None:
        """End the block."""
        if not self.pairs:
            return
        self._cells[self._start] += self.pairs
        self._cells[self._start + 1] += self.differing
        allowed, differing, same = self._allowed, self.differing, self.pairs - self.differing
        spread = differing * (PART - allowed) ** 2 + same * allowed**2
        self._scatter.add([differing * PART - self.pairs * allowed], spread)
        self.pairs = self.differing = 0


def read_pairs(counts: Sequence[int], start: int) -> Pairs:
    """Read what `PairCells` counted."""
    return Pairs(
        pairs=counts[start],
        differing=counts[start + 1],
        scatter=tuple(
            Scatter(one.blocks, one.squares / PART**2, one.expected / PART**2)
            for one in read_scatter(counts, start + 2)
        ),
    )
