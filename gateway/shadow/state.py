"""What the shadow of each rollout has shown so far, as sums in a file of its own.

The shadow process replaces the file; workers read it for whoever asks. Not synced: sums need only
outlive the process. They hold no values, which a policy may forbid to keep, but ids of records.
"""

from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

WORST_KEPT = 10
MOST_SEGMENTS = 100
OTHERS = "(others)"  # the segment of all values beyond so many
NONE = "(none)"  # the segment of requests that do not have the parameter
_SUFFIX = ".shadow"


class Worst(Struct, frozen=True, kw_only=True):
    """One row in which a challenger differs from the live answer.

    `record_id` is that of the live answer, `shadow_record_id` that of the challenger's.
    """

    record_id: str
    shadow_record_id: str
    row: int
    distance: float | None
    segment: str | None


class OutputSums(Struct, kw_only=True):
    """How one output compares, over all requests; `distance` is the sum over `measured` rows."""

    output: str
    column: int | None
    by: str
    tolerance: float | None
    rows: int = 0
    agreeing: int = 0
    measured: int = 0
    distance: float = 0.0
    greatest: float = 0.0
    worst: list[Worst] = []

    def keep(self, worst: Worst) -> None:
        """Keep a row if it is among the furthest; of rows as far away, those that came first."""
        insort(self.worst, worst, key=lambda one: -(one.distance or 0.0))
        del self.worst[WORST_KEPT:]


class SegmentSums(Struct):
    """Requests of one segment: those compared, those of them that differ, and those that failed."""

    requests: int = 0
    differing: int = 0
    failed: int = 0


class ShadowSums(Struct, kw_only=True):
    """All that the shadow of one rollout has shown.

    `compared` requests were answered by both, `differing` of them not alike; `refused` did not
    meet the challenger's contract, `failures` count those that it failed by why, `sheds` those that
    it never met. `waiting` is how many requests waited at `at_us`, microseconds since 1970.
    """

    rollout: str
    model: str
    champion: int
    challenger: int
    compared: int = 0
    differing: int = 0
    refused: int = 0
    failures: dict[str, int] = {}
    sheds: dict[str, int] = {}
    waiting: int = 0
    at_us: int = 0
    outputs: list[OutputSums] = []
    segments: dict[str, SegmentSums] = {}

    def segment(self, name: str | None) -> SegmentSums:
        """Return the sums of a segment, made where there is room for one more."""
        name = NONE if name is None else name
        if name not in self.segments and len(self.segments) >= MOST_SEGMENTS:
            name = OTHERS
        return self.segments.setdefault(name, SegmentSums())


def count(counts: dict[str, int], name: str, times: int = 1) -> None:
    counts[name] = counts.get(name, 0) + times


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ShadowSums)


class ShadowFiles:
    """The files of all rollouts that ever were in shadow, in one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, sums: ShadowSums) -> None:
        """Replace the sums of a rollout, whole or not at all. Raises OSError."""
        path = self._path(sums.rollout)
        draft = path.with_suffix(".new")
        draft.write_bytes(_encoder.encode(sums))
        draft.replace(path)

    def read(self, rollout: str) -> ShadowSums | None:
        """Return what a shadow has shown so far; None where it never ran."""
        with suppress(FileNotFoundError, msgspec.DecodeError):  # torn by a power failure
            return _decoder.decode(self._path(rollout).read_bytes())
        return None

    def read_all(self, rollouts: Iterable[str]) -> list[ShadowSums]:
        found = map(self.read, rollouts)
        return [sums for sums in found if sums is not None]

    def _path(self, rollout: str) -> Path:
        return self._directory / f"{rollout}{_SUFFIX}"
