"""The controller's part of the shadow: its process runs while a rollout is in shadow, else not."""

import os
import sys

from gateway.children import Child
from gateway.logs import logger
from gateway.settings import Settings, write_settings
from registry.errors import StoreUnavailable
from registry.store import Store

_END_S = 5.0


class ShadowTender:
    """Starts the process, starts it anew when it dies, and ends it when it is not wanted."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._is_wanted = False
        # The process ends when the other end of this pipe closes, as it does if this one dies.
        self._pipe, self._own_end = os.pipe()
        command = [sys.executable, "-m", "gateway.shadow", write_settings(settings)]
        self._child = Child(
            "shadow", [*command, str(self._pipe)], [self._pipe], logger.error, runs_models=True
        )

    def look(self) -> None:
        """Do what the store asks for now."""
        try:
            generation = self._store.generation()
            if generation != self._generation:
                rollouts = self._store.open_rollouts()
                self._is_wanted = any(one.shadow_points for one in rollouts)
                self._generation = generation
        except StoreUnavailable as error:
            logger.warning("shadow_not_tended", detail=str(error))
        if self._is_wanted:
            self._child.tend()
        else:
            self._child.end()

    def close(self) -> None:
        """End the process, and wait until it has recorded what it did."""
        self._child.terminate()
        self._child.wait(_END_S)
        os.close(self._own_end)
        os.close(self._pipe)
