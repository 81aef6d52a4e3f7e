"""The challengers of all rollouts in shadow, loaded as serving loads them, as the store says."""

import time
from datetime import datetime

from msgspec import Struct

from gateway.errors import GatewayError
from gateway.logs import logger
from gateway.roster import Roster, ServedModel, ServedVersion
from gateway.runtime import Watchdog
from gateway.security import Keyring
from gateway.shadow.challenger import Challenger
from gateway.version_loading import keep_by, load_version
from registry import privacy
from registry.errors import RegistryError
from registry.lifecycle import first_named
from registry.payload_policy import PayloadPolicy
from registry.reader import Reader
from registry.registry import Registry
from registry.rollouts import Rollout
from registry.versions import Version

_RETRY_S = 5.0


class _Wanted(Struct, frozen=True):
    """A challenger that is to be loaded, when it was first named, and what is kept of payloads."""

    rollout: Rollout
    version: Version
    named: datetime | None
    policy: PayloadPolicy


class Challengers:
    """Follows the store. One thread refreshes; any may look."""

    def __init__(self, registry: Registry, watchdog: Watchdog, payload_limit: int) -> None:
        self.rollouts: dict[str, Rollout] = {}  # those in shadow, loaded or not
        self.open: frozenset[str] = frozenset()  # those that are not over, paused or not
        self._registry = registry
        self._watchdog = watchdog
        self._payload_limit = payload_limit
        self._loaded: dict[str, Challenger] = {}
        self._generation = -1
        self._retry_at = float("inf")

    def find(self, rollout: str) -> Challenger | None:
        """Return the challenger of a rollout, if it is loaded."""
        return self._loaded.get(rollout)

    def roster(self) -> Roster:
        """Return what is loaded, as a roster in which nothing answers."""
        models: dict[str, dict[int, ServedVersion]] = {}
        for one in self._loaded.values():
            models.setdefault(one.served.model, {})[one.served.number] = one.served
        return Roster(
            generation=self._generation,
            models={
                model: ServedModel(champion=None, versions=versions)
                for model, versions in models.items()
            },
            keyring=Keyring(()),
            failures={},
        )

    def refresh(self) -> bool:
        """Load what the store says now, and say whether anything changed; blocks meanwhile.

        A version that cannot be loaded is tried again every few seconds. Raises StoreUnavailable.
        """
        is_retry = time.monotonic() >= self._retry_at
        if self._registry.store.generation() == self._generation and not is_retry:
            return False
        with self._registry.store.snapshot() as view:
            generation = view.generation()
            wanted = _wanted(view)
            self.open = frozenset(one.id for one in view.open_rollouts())
        self.rollouts = {one.rollout.id: one.rollout for one in wanted}
        self._retry_at = float("inf")
        loaded: dict[str, Challenger] = {}
        for one in wanted:
            try:
                loaded[one.rollout.id] = self._load(one)
            except (RegistryError, GatewayError) as error:
                self._retry_at = time.monotonic() + _RETRY_S
                logger.error(
                    "challenger_not_loaded",
                    model=one.version.model,
                    version=one.version.number,
                    rollout=one.rollout.id,
                    error=error.slug,
                    detail=str(error),
                )
        self._loaded, self._generation = loaded, generation
        return True

    def _load(self, wanted: _Wanted) -> Challenger:
        present = self._loaded.get(wanted.rollout.id)
        served = (
            load_version(self._registry, wanted.version, wanted.named, self._watchdog)
            if present is None
            else present.served
        )
        served = keep_by(wanted.policy, served, self._registry.store.vault)
        return Challenger(wanted.rollout, served, self._payload_limit)


def _wanted(view: Reader) -> list[_Wanted]:
    policies = privacy.effective_policies(view)
    found: list[_Wanted] = []
    for rollout in view.open_rollouts():
        version = view.version(rollout.model, rollout.plan.challenger)
        if rollout.shadow_points and version is not None:
            changes, rollouts = view.alias_changes(rollout.model), view.rollouts(rollout.model)
            named = first_named(changes, rollouts).get(version.number)
            policy = policies.get(rollout.model, PayloadPolicy())
            found.append(_Wanted(rollout, version, named, policy))
    return found
