"""What came of replaying many records: counts, and the worst differences by record."""

import heapq
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from gateway.replay.what_if import WhatIf
from registry.audit.comparison import Distance
from registry.audit.replay import Agreement, Reason, Replay

_WORST_KEPT = 10


class Worst(Struct, frozen=True, kw_only=True):
    """One output that differs, and the record it belongs to."""

    record_id: str
    distance: Distance


class Summary(Struct, frozen=True, kw_only=True):
    """What came of many replays: how many had each result and each reason, and the worst.

    `changed_labels` are counted over all of them. `is_clean` is False where an answer cannot be
    reproduced, or where a payload is not what its record commits to.
    """

    records: int
    results: dict[str, int]
    reasons: dict[str, int]
    changed_labels: int
    worst: tuple[Worst, ...]
    is_clean: bool


def summarise(replays: Iterable[Replay | WhatIf]) -> Summary:
    """Add up replays as they come, keeping no more of them than the worst."""
    summing = _Summing()
    for replay in replays:
        summing.add(replay)
    return summing.summary()


class _Summing:
    """What was added up so far."""

    def __init__(self) -> None:
        self.records = 0
        self._results: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._changed_labels = 0
        self._worst: list[tuple[tuple[bool, int, float], int, Worst]] = []

    def add(self, replay: Replay | WhatIf) -> None:
        self.records += 1
        self._results[replay.result] += 1
        if replay.reason is not None:
            self._reasons[replay.reason] += 1
        for distance in replay.outputs:
            self._changed_labels += distance.changed_labels or 0
            if not distance.is_identical:
                self._keep(Worst(record_id=replay.record_id, distance=distance))

    def summary(self) -> Summary:
        return Summary(
            records=self.records,
            results=dict(sorted(self._results.items())),
            reasons=dict(sorted(self._reasons.items())),
            changed_labels=self._changed_labels,
            worst=tuple(worst for _, _, worst in sorted(self._worst, reverse=True)),
            is_clean=not (self._results[Agreement.DIFFERENT] or self._reasons[Reason.COMMITMENT]),
        )

    def _keep(self, worst: Worst) -> None:
        distance = worst.distance
        rank = (
            distance.mismatch is not None,
            distance.beyond,
            distance.max_absolute or 0.0,
        )
        # Their number comes before the values, which have no order; the newest records come first.
        entry = (rank, -self.records, worst)
        if len(self._worst) < _WORST_KEPT:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)
