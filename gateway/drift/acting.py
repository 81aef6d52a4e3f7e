"""What findings do to what answers: the champion before stands in for the champion, and no longer.

What is wanted follows from findings, policy and history alone, so it is the same whoever changed
which of them, and whatever was missed meanwhile.
"""

import msgspec

from registry import service
from registry.announcing import announce, fallback_changed
from registry.drift import Fallback, fallbacks
from registry.drift_policy import DriftAction, acting
from registry.lifecycle import champions
from registry.reader import Reader
from registry.recording import Author, append_record
from registry.registry import Registry
from registry.store import Transaction
from registry.times import now
from registry.versions import CHAMPION, Version, VersionState
from registry.workers import SettingName

CONTROLLER = Author(principal="controller")
_MOST_NAMED = 5  # of a list in a sentence
_MOST_PAIRS = 256  # of versions that were compared; with more of them all are forgotten


class Fallbacks:
    """Keeps what stands in for champions as it has to be."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # Whether versions take and answer the same, by the digests of their manifests.
        self._is_same: dict[tuple[str, str], bool] = {}

    def settle_all(self) -> None:
        """Let versions begin and cease to stand in, where findings or champions have changed."""
        store = self._registry.store
        for model in {*store.models_with_findings(), *fallbacks(store)}:
            if self.wanted(store, model) != fallbacks(store).get(model):
                with store.write() as tx:
                    self.settle(tx, model)

    def settle(self, tx: Transaction, model: str) -> None:
        """Let a version begin or cease to stand in for the champion, and record it."""
        present, wanted = fallbacks(tx).get(model), self.wanted(tx, model)
        if present == wanted:
            return
        value = None if wanted is None else msgspec.json.encode(wanted).decode()
        service.put_value(tx, SettingName.FALLBACK, model, value)
        for fallback, action in ((present, "fallback.end"), (wanted, "fallback.begin")):
            if fallback is not None:
                record = append_record(
                    tx, action, CONTROLLER, now(),
                    version=tx.version(model, fallback.version), previous=fallback.champion,
                    reason=self._reason(tx, model),
                )  # fmt: skip
                announce(tx, fallback_changed(tx, record, has_begun=fallback is wanted))

    def wanted(self, view: Reader, model: str) -> Fallback | None:
        """Return what has to stand in for the champion: the one before, if it can and must."""
        if not acting(view, model, DriftAction.ROUTE_TO_FALLBACK):
            return None
        history = [one for one in view.alias_changes(model) if one.alias == CHAMPION]
        line = champions(history)[-2:]  # what workers keep loaded
        if len(line) < 2:
            return None
        before, champion = (view.version(model, number) for number in line)
        if before is None or champion is None or before.number == champion.number:
            return None
        if before.state is VersionState.RETIRED or not self._are_alike(before, champion):
            return None
        return Fallback(champion=champion.number, version=before.number)

    def _are_alike(self, one: Version, other: Version) -> bool:
        """Say whether two versions take and answer the same tensors."""
        key = (one.manifest, other.manifest)
        found = self._is_same.get(key)
        if found is None:
            if len(self._is_same) >= _MOST_PAIRS:
                self._is_same.clear()
            signatures = [self._registry.manifest(version).signature for version in (one, other)]
            found = self._is_same[key] = signatures[0] == signatures[1]
        return found

    def _reason(self, view: Reader, model: str) -> str:
        """Say why what stands in for a champion has changed."""
        found = acting(view, model, DriftAction.ROUTE_TO_FALLBACK)
        if not found:
            return "no finding of the champion asks for it any more"
        return "; ".join(f"finding {one.id} of {one.feature}" for one in found[:_MOST_NAMED])
