"""What workers counted of the values they met, and the windows of time that it is added up in.

Counts are a flat vector of int64, little-endian, whose layout the version's reference gives; here
they are bytes that can be added. Frozen values. Times are UTC.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

CELL = 8  # bytes of one count


class Span(StrEnum):
    """How long a window is. Windows begin at multiples of their length since 1970, UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        return _LENGTHS[self]

    @property
    def kept_for(self) -> timedelta:
        """How long a window is kept after it began."""
        return _KEPT_FOR[self]


_LENGTHS = {
    Span.MINUTE: timedelta(minutes=1),
    Span.HOUR: timedelta(hours=1),
    Span.DAY: timedelta(days=1),
}
# Seven years with the most leap days they can have.
_KEPT_FOR = {
    Span.MINUTE: timedelta(days=2),
    Span.HOUR: timedelta(days=90),
    Span.DAY: timedelta(days=2_557),
}


class LaneCounts(Struct, frozen=True, array_like=True):
    """What was counted of a version in a lane; `manifest` is the digest of the version's own."""

    model: str
    version: int
    lane: str
    manifest: str
    counts: bytes


class WorkerCounts(Struct, frozen=True, array_like=True):
    """All that one worker has counted since it began a file, whose id no other ever has.

    Every cell only grows. `at_us` is when it was counted, in microseconds since 1970.
    """

    id: str
    at_us: int
    lanes: tuple[LaneCounts, ...]


class Window(Struct, frozen=True, kw_only=True):
    """What all workers counted of a version in a lane, in the time that begins at `start`."""

    start: datetime
    counts: bytes


class Block(Struct, frozen=True, kw_only=True):
    """What all workers counted of a champion in about a second, and no detector has looked at."""

    sequence: int
    counts: bytes


class DetectorState(Struct, frozen=True, kw_only=True):
    """What a detector knows, in bytes of its own, and when it looked last."""

    state: bytes
    looked: datetime
