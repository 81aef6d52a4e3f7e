"""What the challenger has done and nobody has recorded yet: bounded, so that a slow disk slows the
challenger, and what it does not meet is shed.
"""

import threading
from collections.abc import Sequence

from gateway.shadow.challenger import Finished

_MOST = 4_096
_MOST_BYTES = 32 << 20


class Results:
    """From the thread that runs the challenger to whoever records."""

    def __init__(self) -> None:
        self._finished: list[Finished] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, finished: Finished) -> None:
        """Hand over; waits while there are too many."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._finished.append(finished)
            self._bytes += finished.shadowed.size

    def take(self) -> Sequence[Finished]:
        """Return all that there is."""
        with self._changed:
            taken, self._finished = self._finished, []
            self._bytes = 0
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._is_closed or (len(self._finished) < _MOST and self._bytes < _MOST_BYTES)
