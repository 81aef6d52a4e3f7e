"""Counts one stage of a rollout: one flat vector of integers, which only grow.

The layout follows from plan, stage and the bins of outputs alone. Vectors of any parts of the
traffic add cell by cell, exactly and in any order: requests are counted in blocks, and what a block
says is a whole number.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Self

from msgspec import Struct

from gateway.rollout.means import MEANS_SIZE, MeanCells
from gateway.rollout.pairs import PAIRS_SIZE, PairCells
from gateway.rollout.rates import RateCells, rates_size
from gateway.rollout.scatter import BLOCK
from registry.rollouts import Guard, GuardKind, Plan

_REQUESTS = 2  # the first cells: requests of the champion and of the challenger, in whole blocks


class Section(Struct, frozen=True):
    """The cells of one guard of the plan, by its index: `size` from `start` on."""

    index: int
    guard: Guard
    start: int
    size: int
    bins: int


class Layout(Struct, frozen=True):
    """Where the guards that judge a stage are counted, in the order of the plan."""

    is_shadow: bool
    sections: tuple[Section, ...]

    @classmethod
    def of(cls, plan: Plan, stage: int, bins: Mapping[int, int]) -> Self:
        """Lay out a stage; `bins` has for each guard of a shift, by index, how many bins it has.

        A shift without bins is not counted. Ground truth is not counted here at all.
        """
        is_shadow = plan.shadow is not None and stage == 0
        sections: list[Section] = []
        start = _REQUESTS
        for index, guard in enumerate(plan.guards):
            if not guard.judges(is_shadow=is_shadow) or guard.kind is GuardKind.TRUTH:
                continue
            count = bins.get(index, 0) if guard.kind is GuardKind.SHIFT else 1
            if count:
                sections.append(Section(index, guard, start, _size(guard, count), count))
                start += sections[-1].size
        return cls(is_shadow, tuple(sections))

    @property
    def size(self) -> int:
        last = self.sections[-1] if self.sections else None
        return _REQUESTS if last is None else last.start + last.size

    def of_kind(self, kind: GuardKind) -> list[Section]:
        """Return the sections of guards of a kind, in the order of the plan."""
        return [section for section in self.sections if section.guard.kind is kind]


class Facts(Struct, gc=False):
    """One request of one lane, as it counts.

    `failed` by the gateway or the version, `refused` by the contract. Of each guard of a score, in
    the order of the plan, `scores` has the mean over the rows of the request, None where there is
    none; of each guard of a shift `bins` has the bin of each row that is counted, by
    `gateway.rollout.bins`. Both are empty where nothing was answered.

    In shadow a request is added twice, once for each lane, also where one of them failed. There the
    challenger's `scores` are its own less the champion's, and the champion's are empty; `differs`
    says of each guard of agreement whether any row of the challenger's answer differs, and is empty
    where one of the two did not answer.
    """

    is_challenger: bool
    failed: bool = False
    refused: bool = False
    latency_us: int = 0
    scores: tuple[float | None, ...] = ()
    bins: tuple[Sequence[int], ...] = ()
    differs: tuple[bool, ...] = ()


class Tally:
    """What was counted of a stage in one process: `counts`, for which requests are added.

    `edges_us` has for each guard of the plan the latency that it counts beyond, as the rollout has.
    """

    def __init__(self, layout: Layout, edges_us: Sequence[int]) -> None:
        self.counts = array("q", [0]) * layout.size
        self._requests = [0, 0]  # of the open block

        def rates(kind: GuardKind) -> list[RateCells]:
            return [
                RateCells(self.counts, one.start, one.bins, one.guard.margin)
                for one in layout.of_kind(kind)
            ]

        self._errors = rates(GuardKind.ERRORS)
        self._refusals = rates(GuardKind.REFUSALS)
        slow = [edges_us[one.index] for one in layout.of_kind(GuardKind.LATENCY)]
        self._latencies = list(zip(slow, rates(GuardKind.LATENCY), strict=True))
        self._shifts = rates(GuardKind.SHIFT)
        self._rates = [*self._errors, *self._refusals, *(one for _, one in self._latencies)]
        self._pairs = [
            PairCells(self.counts, one.start, one.guard.margin)
            for one in layout.of_kind(GuardKind.AGREEMENT)
        ]
        self._means = [
            MeanCells(self.counts, one.start, one.guard.margin, is_paired=layout.is_shadow)
            for one in layout.of_kind(GuardKind.SCORE)
        ]

    def add(self, facts: Facts) -> None:
        """Add a request."""
        lane = 1 if facts.is_challenger else 0
        requests = self._requests
        requests[lane] += 1
        if facts.failed:
            _count(self._errors, lane)
        if facts.refused:
            _count(self._refusals, lane)
        for edge_us, cells in self._latencies:
            if facts.latency_us > edge_us:
                cells.events[lane][0] += 1
        if facts.scores or facts.bins or facts.differs:
            self._add_answer(lane, facts)
        if requests[lane] >= BLOCK and requests[1 - lane] >= BLOCK:
            self._close()

    def _add_answer(self, lane: int, facts: Facts) -> None:
        if facts.scores:
            for means, value in zip(self._means, facts.scores, strict=True):
                means.add(lane, value)
        if facts.bins:
            for cells, rows in zip(self._shifts, facts.bins, strict=True):
                events = cells.events[lane]
                for bin_of_row in rows:
                    events[bin_of_row] += 1
        if facts.differs:
            for pairs, differs in zip(self._pairs, facts.differs, strict=True):
                pairs.pairs += 1
                pairs.differing += differs

    def _close(self) -> None:
        """End the block: what it says is counted."""
        champion, challenger = self._requests
        self.counts[0] += champion
        self.counts[1] += challenger
        for cells in self._rates:
            cells.close(champion, challenger)
        for cells in self._shifts:
            cells.close(*map(sum, cells.events))
        for pairs in self._pairs:
            pairs.close()
        for means in self._means:
            means.close()
        self._requests = [0, 0]


def _count(guards: Sequence[RateCells], lane: int) -> None:
    for cells in guards:
        cells.events[lane][0] += 1


def _size(guard: Guard, bins: int) -> int:
    match guard.kind:
        case GuardKind.AGREEMENT:
            return PAIRS_SIZE
        case GuardKind.SCORE:
            return MEANS_SIZE
        case _:
            return rates_size(bins)
