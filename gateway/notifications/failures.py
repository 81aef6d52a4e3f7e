"""Tells of versions that workers cannot load, which they know and people do not."""

from collections.abc import Sequence

from registry.announcing import announce, version_not_loaded
from registry.entry import new_record_id
from registry.errors import clip
from registry.names import MAX_REASON
from registry.records import AuditRecord, Kind, Outcome
from registry.registry import Clock
from registry.store import Store
from registry.times import now, to_us
from registry.workers import WorkerStatus


class FailedLoads:
    """Records and announces each version that cannot be loaded, once for as long as that lasts.

    What is known is kept in memory: a new controller tells it anew.
    """

    def __init__(self, store: Store, clock: Clock = now) -> None:
        self._store = store
        self._clock = clock
        self._told: set[str] = set()

    def look(self, workers: Sequence[WorkerStatus]) -> None:
        """Tell of what is new in what workers say of themselves. Raises RegistryError."""
        failing = {name: why for one in workers for name, why in one.failures.items()}
        self._told &= failing.keys()
        for name in sorted(failing.keys() - self._told):
            self._tell(name, failing[name])
            self._told.add(name)

    def _tell(self, name: str, why: str) -> None:
        model, _, number = name.rpartition("/")
        time_ns = to_us(self._clock()) * 1000
        with self._store.write() as tx:
            version = tx.version(model, int(number))
            record = AuditRecord(
                id=new_record_id(time_ns),
                kind=Kind.ADMIN,
                time=str(time_ns),
                outcome=Outcome.FAILED,
                action="version.load",
                principal="controller",
                model=model,
                version=int(number),
                digest=None if version is None else version.artifact,
                manifest=None if version is None else version.manifest,
                reason=clip(why, MAX_REASON),
            )
            tx.append(record)
            announce(tx, version_not_loaded(tx, record))
