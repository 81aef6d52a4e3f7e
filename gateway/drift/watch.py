"""The controller's watch over what workers count: when each part of it is done."""

import time

from gateway.drift.acting import Fallbacks
from gateway.drift.judging import Judge
from gateway.drift.taking import Taker
from gateway.summaries import Summaries
from registry.registry import Registry
from registry.times import now

_EVERY_S = 1.0
_EXPIRE_EVERY_S = 60.0
_PIECE = 200  # windows of each span that go at once


class Watch:
    """Takes what was counted, looks, acts, and lets go of old windows, a second at a time."""

    def __init__(self, registry: Registry, summaries: Summaries) -> None:
        self._store = registry.store
        self._taker = Taker(registry.store, summaries)
        self._fallbacks = Fallbacks(registry)
        self._judge = Judge(registry, self._fallbacks)
        self._next = self._expire_at = 0.0

    def run(self, *, is_last: bool = False) -> None:
        """Do what is due; at the last all that was counted is taken, and no more is done.

        Raises RegistryError and OSError; nothing is lost then, and the next run goes on.
        """
        started = time.monotonic()
        if is_last:
            self._taker.take()
        elif started >= self._next:
            self._next = started + _EVERY_S
            self._taker.take()
            self._judge.look_all()
            self._fallbacks.settle_all()
            if started >= self._expire_at:
                self._expire(started)

    def _expire(self, started: float) -> None:
        gone = self._store.expire_windows(now(), _PIECE)
        self._expire_at = started + (_EVERY_S if gone else _EXPIRE_EVERY_S)
