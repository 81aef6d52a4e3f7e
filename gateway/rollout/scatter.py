"""How much blocks of requests scatter, at several sizes: requests that come together are alike."""

from array import array
from collections.abc import Sequence

from msgspec import Struct

# A block ends when each lane had so many requests.
BLOCK = 10
# How many blocks are joined, to see what lasts longer than one.
SCALES = (1, 5, 10, 20, 40)
_CELLS = 3
SIZE = _CELLS * len(SCALES)


class Scatter(Struct, frozen=True):
    """What blocks of one size, so many, have shown.

    `squares` are of the excess of events in the challenger's lane, added over blocks; `expected` is
    what they would add to if events came alone. In the same unit, whichever it is.
    """

    blocks: int
    squares: float
    expected: float


class ScatterCells:
    """Counts in `SIZE` cells of a vector, from `start` on."""

    def __init__(self, cells: "array[int]", start: int, events: int) -> None:
        self._cells = cells
        self._start = start
        self._joined = [_Joined(events) for _ in SCALES]

    def add(self, excess: Sequence[int], expected: int) -> None:
        """Add a block: the excess of each event, and the squares to expect of them together."""
        cells, at = self._cells, self._start
        for scale, joined in zip(SCALES, self._joined, strict=True):
            joined.add(excess, expected)
            if joined.blocks == scale:
                cells[at] += 1
                cells[at + 1] += sum([one * one for one in joined.excess])
                cells[at + 2] += joined.expected
                joined.clear()
            at += _CELLS


class _Joined:
    """Blocks that are joined, until there are enough of them."""

    __slots__ = ("blocks", "excess", "expected")

    def __init__(self, events: int) -> None:
        self.excess = [0] * events
        self.expected = self.blocks = 0

    def add(self, excess: Sequence[int], expected: int) -> None:
        self.excess = [one + more for one, more in zip(self.excess, excess, strict=True)]
        self.expected += expected
        self.blocks += 1

    def clear(self) -> None:
        self.excess = [0] * len(self.excess)
        self.expected = self.blocks = 0


def read_scatter(counts: Sequence[int], start: int) -> tuple[Scatter, ...]:
    """Read what `ScatterCells` counted, a scale after the other."""
    return tuple(Scatter(*counts[at : at + _CELLS]) for at in range(start, start + SIZE, _CELLS))
