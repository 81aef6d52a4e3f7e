"""Counts how often events happen in each lane, and what bets on their ratio gain by it.

A block is a bet of its own: given how many events it had, and how many requests of each lane, those
of the challenger would be a random draw if both lanes were alike. So nothing that changes with time
in both lanes, nor a share that changes, speaks for or against the challenger.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, floor, log

from msgspec import Struct

from gateway.rollout import scatter
from gateway.rollout.scatter import Scatter, ScatterCells, read_scatter

# Bets that a rate is so many times the champion's, and that it is so many times less than allowed.
RISES = (1.25, 1.5, 2.0, 3.0, 5.0)
FALLS = (1.25, 1.5, 2.0, 3.0)
LOG = 1 << 20  # parts of a logarithm
PART = 1 << 6  # parts of an event
_TOTALS = 2
_FIRST_RISE = 3
_FIRST_FALL = _FIRST_RISE + len(RISES)
_PER_EVENT = _FIRST_FALL + len(FALLS)


class Event(Struct, frozen=True):
    """How often one thing happened in each lane, in blocks that are closed.

    `due` is how often it would have in the challenger's, were both lanes alike. The logarithm of
    the bet on each ratio r is `challenger * log(r) - rises` that the rate is r times the
    champion's, and `falls - challenger * log(r)` that it is r times less than is allowed.
    """

    challenger: int
    champion: int
    due: float
    rises: tuple[float, ...]
    falls: tuple[float, ...]


class Rates(Struct, frozen=True):
    """The events of one guard, one for each bin, among so many requests or rows of each lane."""

    challenger: int
    champion: int
    events: tuple[Event, ...]
    scatter: tuple[Scatter, ...]


def rates_size(bins: int) -> int:
    """Return how many cells it takes."""
    return _TOTALS + bins * _PER_EVENT + scatter.SIZE


class RateCells:
    """Counts into a vector, from `start` on; `margin` is the ratio that is allowed.

    `events` are those of the open block, of the champion and of the challenger, by bin.
    """

    def __init__(self, cells: "array[int]", start: int, bins: int, margin: float) -> None:
        self.events = ([0] * bins, [0] * bins)
        self._cells = cells
        self._start = start
        self._margin = margin
        self._scatter = ScatterCells(cells, start + rates_size(bins) - scatter.SIZE, _views(bins))

    def close(self, champion: int, challenger: int) -> None:
        """End the block, of so many requests or rows of each lane."""
        if not champion or not challenger:
            return
        theirs, ours = self.events
        cells, total = self._cells, champion + challenger
        cells[self._start] += challenger
        cells[self._start + 1] += champion
        excess = [
            (a * champion - c * challenger) * PART // total
            for a, c in zip(ours, theirs, strict=True)
        ]
        spread = [
            (a * champion * champion + c * challenger * challenger) * PART * PART // (total * total)
            for a, c in zip(ours, theirs, strict=True)
        ]
        if any(theirs) or any(ours):
            self._bet(champion, challenger, excess)
        self._scatter.add(_tails(excess), sum(_tails(spread)))
        self.events = ([0] * len(theirs), [0] * len(ours))

    def _bet(self, champion: int, challenger: int, excess: Sequence[int]) -> None:
        cells, at = self._cells, self._start + _TOTALS
        costs = _costs(champion, challenger, self._margin)
        for ours, theirs, more in zip(self.events[1], self.events[0], excess, strict=True):
            count = ours + theirs
            if count:
                cells[at] += ours
                cells[at + 1] += theirs
                cells[at + 2] += ours * PART - more
                for place, cost in enumerate(costs, at + _FIRST_RISE):
                    cells[place] += count * cost
            at += _PER_EVENT


def read_rates(counts: Sequence[int], start: int, bins: int) -> Rates:
    """Read what `RateCells` counted."""
    first = start + _TOTALS
    return Rates(
        challenger=counts[start],
        champion=counts[start + 1],
        events=tuple(
            _read_event(counts[at : at + _PER_EVENT])
            for at in range(first, first + bins * _PER_EVENT, _PER_EVENT)
        ),
        scatter=tuple(
            Scatter(one.blocks, one.squares / PART**2, one.expected / PART**2)
            for one in read_scatter(counts, first + bins * _PER_EVENT)
        ),
    )


def _read_event(cells: Sequence[int]) -> Event:
    ours, theirs, due = cells[:_FIRST_RISE]
    return Event(
        challenger=ours,
        champion=theirs,
        due=due / PART,
        rises=tuple([cost / LOG for cost in cells[_FIRST_RISE:_FIRST_FALL]]),
        falls=tuple([gain / LOG for gain in cells[_FIRST_FALL:]]),
    )


def _costs(champion: int, challenger: int, margin: float) -> list[int]:
    """Return what each event costs the bets of each ratio, or gains those of the second half.

    An event is the challenger's with probability sM/(sM + 1 - s), were its rate M times the
    champion's and s its share of the requests. Rounded so that no bet gains by it.
    """
    allowed = challenger * margin + champion
    rises = [
        ceil(LOG * log((challenger * ratio + champion) / (challenger + champion)))
        for ratio in RISES
    ]
    falls = [
        floor(LOG * log(allowed / (challenger * margin / ratio + champion))) for ratio in FALLS
    ]
    return rises + falls


def _views(bins: int) -> int:
    """Return how many events there are: in a bin, and at or below an edge between two."""
    return 2 * bins - 1


def _tails(of_bins: Sequence[int]) -> list[int]:
    """Add to what is said of each bin what is said of all up to each edge."""
    return [*of_bins, *list(accumulate(of_bins))[:-1]]
