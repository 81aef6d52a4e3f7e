"""Follows the store: builds and warms the next roster beside the present one, then swaps it in."""

import asyncio
import os
from collections.abc import Callable

from gateway.logs import apply_log_settings, logger
from gateway.roster import Roster
from gateway.roster_building import build_roster
from gateway.runtime import Watchdog
from gateway.security import Keyring
from registry.errors import RegistryError, StoreUnavailable
from registry.registry import Registry
from registry.workers import WorkerStatus

EMPTY_ROSTER = Roster(generation=-1, models={}, keyring=Keyring(()), failures={})
_RETRY_S = 5.0


class Loader:
    """Keeps `roster` at the newest generation of the store that could be loaded.

    `on_swap` is told of each roster that is obeyed from then on, on the event loop.
    """

    def __init__(
        self,
        *,
        worker: str,
        registry: Registry,
        watchdog: Watchdog,
        poll_s: float,
        on_swap: Callable[[Roster], None] = lambda _: None,
    ) -> None:
        self.roster = EMPTY_ROSTER
        self._on_swap = on_swap
        self._worker = worker
        self._registry = registry
        self._watchdog = watchdog
        self._poll_s = poll_s
        self._is_reported = False
        self._report_under_way: asyncio.Future[None] | None = None

    async def load(self) -> None:
        """Bring the roster to the store's present generation, and tell the store that it is.

        Where the store cannot take that, `follow` tells it later: the roster serves all the same.
        """
        roster = await asyncio.to_thread(build_roster, self._registry, self._watchdog, self.roster)
        self.roster = roster
        self._on_swap(roster)
        apply_log_settings(roster.logging)
        logger.debug("roster_loaded", generation=roster.generation)
        self._is_reported = False
        try:
            await self._report(roster)
        except StoreUnavailable as error:
            logger.warning("roster_not_reported", detail=str(error))

    async def _report(self, roster: Roster) -> None:
        status = WorkerStatus(
            worker=self._worker,
            pid=os.getpid(),
            generation=roster.generation,
            failures=dict(roster.failures),
        )
        report = asyncio.ensure_future(
            asyncio.to_thread(self._registry.store.report_worker, status)
        )
        self._report_under_way = report
        await asyncio.shield(report)
        self._is_reported = True

    async def close(self) -> None:
        """Take back what was reported, once nothing more will be: so this worker has not crashed.

        Where the store cannot take that, it is taken for one that has.
        """
        try:
            if self._report_under_way is not None:
                await asyncio.wait([self._report_under_way])
                self._report_under_way.exception()  # told already where it mattered
            await asyncio.to_thread(self._registry.store.forget_worker, os.getpid())
        except RegistryError as error:
            logger.warning("worker_not_taken_back", detail=str(error))

    async def follow(self) -> None:
        """Load each new generation within a poll and its loading time; never returns.

        Versions that could not be loaded are tried again every few seconds.
        """
        loop = asyncio.get_running_loop()
        retry_at = loop.time() + _RETRY_S
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                generation = await asyncio.to_thread(self._registry.store.generation)
                is_retry = bool(self.roster.failures) and loop.time() > retry_at
                if generation != self.roster.generation or is_retry:
                    retry_at = loop.time() + _RETRY_S
                    await self.load()
                elif not self._is_reported:
                    await self._report(self.roster)
            except RegistryError as error:
                logger.warning("store_not_followed", error=error.slug, detail=str(error))
            except Exception as error:  # noqa: BLE001 - the top of a loop that must not end
                logger.error("roster_not_built", exc_info=error)
