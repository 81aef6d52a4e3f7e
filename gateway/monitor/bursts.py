"""How much less a row says than it would if rows came independently: the design effect of an event.

Rows of one caller, or of one request, are alike. Their counts in short blocks of time then scatter
more than those of independent rows would, by a factor: the design effect. It is measured between
neighbouring blocks, so that a slow change of what is common does not pass for a burst, and over
many looks. The measure is that of over-dispersed counts (P. McCullagh, J. A. Nelder, Generalized
Linear Models, 2nd ed. (1989), p. 124). That dividing the evidence by it restores the false-alarm
rate is shown by simulation, not proven.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from operator import add, mul, sub

from msgspec import Struct

from gateway.monitor.events import Group, Kind

# Fewer differences, those of twenty blocks, say too little; until then as many rows count as one.
LEAST_DIFFERENCES = 19
UNMEASURED = 20.0
_MEMORY = 400  # differences; earlier ones are slowly forgotten
# A look alone tells of a burst where it measures more than by chance: as many standard deviations.
_CHANCE = 4.0
_LEAST_EFFECT = 0.01  # 0 is for what was not measured
_LEAST_ROWS = 4
_MOST_BLOCKS = 30


class Blocks:
    """The blocks of one look, cell by cell; what several groups ask for is computed once."""

    def __init__(self, blocks: Sequence[Sequence[int]]) -> None:
        self._columns = list(zip(*blocks, strict=True))
        self._totals: dict[range, list[int]] = {}
        self._changes: dict[int, list[int]] = {}
        self.differences = len(blocks) - 1

    def totals(self, cells: range) -> list[int]:
        """Add cells in each block."""
        found = self._totals.get(cells)
        if found is None:
            columns = self._columns[cells.start : cells.stop]
            found = self._totals[cells] = list(map(sum, zip(*columns, strict=True)))
        return found

    def count(self, cell: int) -> int:
        """Add a cell over all blocks."""
        return sum(self._columns[cell])

    def changes(self, cell: int) -> list[int]:
        """Say how much more a cell has in each block than in the one before."""
        found = self._changes.get(cell)
        if found is None:
            column = self._columns[cell]
            found = self._changes[cell] = list(map(sub, column[1:], column))
        return found


class Bursts(Struct, frozen=True, array_like=True):
    """The design effects of the events of a group without opposites, from so many differences.

    `effects` are means over many looks, 0 where the event never changed yet. `latest` is what the
    last look alone gave, 0 where that was no more than chance: so a first burst of its kind is seen
    in the look that it is in.
    """

    effects: tuple[float, ...]
    latest: tuple[float, ...]
    differences: int = 0

    @classmethod
    def unmeasured(cls, group: Group) -> "Bursts":
        """Return what is known before the first look."""
        none = (0.0,) * group.bases
        return cls(none, none)

    def learn(self, group: Group, blocks: Blocks) -> "Bursts":
        """Take in the blocks of one look."""
        found = _measure(group, blocks)
        if not found:
            return self
        differences = blocks.differences
        gain = differences / (self.differences + differences)
        plain = 1 + _CHANCE * sqrt(2 / differences)
        effects = [
            effect + gain * (new - effect) if new and effect else new or effect
            for effect, new in zip(self.effects, found, strict=True)
        ]
        return Bursts(
            tuple([round(effect, 3) for effect in effects]),
            tuple([round(new, 3) if new > plain else 0.0 for new in found]),
            min(self.differences + differences, _MEMORY),
        )

    def of_events(self, group: Group) -> list[float]:
        """Return the design effect of each event of the group, at least 1."""
        if self.differences < LEAST_DIFFERENCES:
            return [max(UNMEASURED, group.burst)] * group.bases
        return [
            max(1.0, effect, latest) if effect else max(UNMEASURED, group.burst)
            for effect, latest in zip(self.effects, self.latest, strict=True)
        ]


def pool(blocks: Sequence[Sequence[int]]) -> list[list[int]]:
    """Join neighbouring blocks until each has enough rows and there are not many of them."""
    rows = sum(block[0] for block in blocks)
    least = max(_LEAST_ROWS, rows / _MOST_BLOCKS if len(blocks) > _MOST_BLOCKS else 0)
    pooled: list[list[int]] = []
    gathered: list[Sequence[int]] = []
    rows = 0
    for block in blocks:
        gathered.append(block)
        rows += block[0]
        if rows >= least:
            pooled.append(list(map(sum, zip(*gathered, strict=True))))
            gathered, rows = [], 0
    return pooled


def _measure(group: Group, blocks: Blocks) -> list[float]:
    """Measure the design effects of a look; 0 for an event that never or always happened."""
    totals = blocks.totals(group.among)
    total = sum(totals)
    if not total:
        return []
    steps = list(map(sub, totals[1:], totals))
    squares = sum(map(mul, steps, steps))
    weight = 2 * total - totals[0] - totals[-1]
    found = []
    for happened, changes in _events(group, blocks):
        share = happened / total
        expected = share * (1 - share) * weight
        if not expected:
            found.append(0.0)
            continue
        # The square of each change of what happened beyond its share of the change of the total.
        crossed = sum(map(mul, changes, steps))
        scatter = sum(map(mul, changes, changes)) - 2 * share * crossed + share * share * squares
        found.append(max(_LEAST_EFFECT, scatter / expected))
    return found


def _events(group: Group, blocks: Blocks) -> Iterator[tuple[int, list[int]]]:
    """Say of each event how often it happened, and how much more in each block than before."""
    below, change_below = 0, [0] * blocks.differences
    for cell in group.cells[: group.bases]:
        happened, changes = blocks.count(cell), blocks.changes(cell)
        if group.kind is Kind.EDGE:
            happened = below = below + happened
            changes = change_below = list(map(add, change_below, changes))
        yield happened, changes
