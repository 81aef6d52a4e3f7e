"""Writes this worker's snapshot when it is due, and reads those of all."""

import asyncio

import msgspec

from gateway.logs import logger
from gateway.metrics.counters import Metrics
from gateway.metrics.slots import Slots, encode_snapshot
from gateway.metrics.snapshot import Snapshot

_LAG_S = 0.25
_TICKS_PER_WRITE = 4


class Meter:
    """One worker's part in the metrics of all."""

    def __init__(self, metrics: Metrics, slots: Slots, slot: int) -> None:
        self._metrics = metrics
        self._slots = slots
        self._slot = slot
        self._written = b""
        # One write at a time, so that an older snapshot never replaces a newer one.
        self._writing = asyncio.Lock()
        self._has_room = True

    async def follow(self) -> None:
        """Measure how late the event loop is, and write once a second what changed; never returns.

        Whoever scrapes another worker sees this one's counts as of at most a second ago.
        """
        loop = asyncio.get_running_loop()
        while True:
            for _ in range(_TICKS_PER_WRITE):
                due = loop.time() + _LAG_S
                await asyncio.sleep(_LAG_S)
                self._metrics.lag(max(0.0, loop.time() - due))
            if self._digest() != self._written:
                await self.write()

    async def write(self) -> None:
        """Write the snapshot as it is now.

        On a disk without room the one before stays: a scrape shows it again, since a counter that
        another worker showed higher must not fall.
        """
        async with self._writing:
            digest, snapshot = self._digest(), encode_snapshot(self._metrics.snapshot())
            try:
                await asyncio.to_thread(self._slots.write, self._slot, snapshot)
            except OSError as error:
                if self._has_room:
                    logger.warning("metrics_not_written", detail=str(error.strerror))
                self._has_room = False
            else:
                self._has_room, self._written = True, digest

    async def read(self) -> list[Snapshot]:
        """Return the snapshots of all workers, this one's as of now."""
        await self.write()
        return await asyncio.to_thread(self._slots.read_all)

    def _digest(self) -> bytes:
        return msgspec.msgpack.encode(self._metrics.counts())
