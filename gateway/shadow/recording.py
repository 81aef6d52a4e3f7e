"""The journal of the shadow process: nobody waits for it, so a group may be of a whole second.

Its segments are integrated like those of workers, and left like those once they are old.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from gateway.journal import SEGMENT_BYTES
from registry.audit.segment_writer import SegmentWriter
from registry.entry import Entry


class Recorder:
    """Appends to segments of its own, made when there is something to record."""

    def __init__(self, directory: Path, segment_age_s: float) -> None:
        self._directory = directory
        self._segment_age_s = segment_age_s
        self._writer: SegmentWriter | None = None
        self._full_at = 0.0

    def append(self, entries: Sequence[Entry]) -> None:
        """Make entries durable as one group. Raises JournalUnavailable and JournalBroken.

        After JournalUnavailable none of them is in the journal, and the next append may succeed.
        """
        if self._writer is None:
            self._writer = SegmentWriter(self._directory)
            self._full_at = time.monotonic() + self._segment_age_s
        self._writer.append(entries)

    def leave_old(self) -> None:
        """Leave a segment that is old or large, so that it can go once it is integrated."""
        if self._writer is not None and (
            time.monotonic() >= self._full_at or self._writer.size >= SEGMENT_BYTES
        ):
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
