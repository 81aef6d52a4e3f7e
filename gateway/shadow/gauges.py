"""What metrics tell of the rollouts that are in shadow now."""

from collections.abc import Mapping, Sequence

from gateway.logs import logger
from gateway.metrics.shadow import ShadowState
from gateway.shadow.report import add_sheds
from gateway.shadow.state import ShadowFiles, ShadowSums
from registry.errors import StoreUnavailable
from registry.store import Store


class ShadowGauges:
    """Reads the sums of all shadows; any thread may ask."""

    def __init__(self, store: Store, files: ShadowFiles) -> None:
        self._store = store
        self._files = files

    def read(self, shed_by_workers: Mapping[str, int]) -> Sequence[ShadowState]:
        """Return the state of each shadow; where the store cannot say which, nothing is told."""
        try:
            rollouts = [one for one in self._store.open_rollouts() if one.is_shadow]
        except StoreUnavailable as error:
            logger.warning("store_unreadable", error=error.slug, detail=str(error))
            return ()
        found = (self._files.read(one.id) for one in rollouts)
        return [_state(sums, shed_by_workers) for sums in found if sums is not None]


def _state(sums: ShadowSums, shed_by_workers: Mapping[str, int]) -> ShadowState:
    return ShadowState(
        rollout=sums.rollout,
        model=sums.model,
        version=sums.challenger,
        requests=sums.compared + sums.refused + sum(sums.failures.values()),
        waiting=sums.waiting,
        failures=sums.failures,
        sheds=add_sheds(sums, shed_by_workers),
    )
