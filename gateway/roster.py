"""What a worker serves now: an immutable set of loaded versions, replaced in one assignment."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.contract import Checker, Enforcement
from gateway.errors import ModelUnloaded, NotServed
from gateway.keeping import Keeping
from gateway.leaves import AnswerLeaves
from gateway.logs import LogSettings
from gateway.protocol.reader import RequestReader
from gateway.runtime import Runner
from gateway.security import Keyring
from gateway.tracing import Tracers
from registry.distribution import Reference
from registry.manifest import Signature
from registry.records import Lane
from registry.rollouts import Rollout

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


class ServedVersion(Struct, frozen=True, kw_only=True):
    """One loaded and warmed version with all that a request to it needs.

    `outputs` is None where the contract has no rules on them, `keeping` where payloads are kept as
    they are, `reference` where it was published without one: then its values are not counted.
    """

    model: str
    number: int
    artifact: str
    manifest: str
    signature: Signature
    reader: RequestReader
    checker: Checker
    outputs: Checker | None
    enforcement: Enforcement
    leaves: AnswerLeaves
    runner: Runner
    keeping: Keeping | None = None
    reference: Reference | None = None


class ServedModel(Struct, frozen=True, kw_only=True):
    """The versions of a model that answer: those that an alias names, and the last champion.

    `fallback` is what answers in the champion's place, while it does. `candidates` are loaded only
    because of rollouts: only testers may name them.
    """

    champion: ServedVersion | None
    versions: Mapping[int, ServedVersion]
    fallback: ServedVersion | None = None
    candidates: frozenset[int] = frozenset()


class Canary(Struct, frozen=True, kw_only=True):
    """A challenger that answers some callers of a champion now, which stands behind it.

    Those are the callers with as many points as `points`, from `base` on, under `salt`. The leaves
    of the challenger name the rollout.
    """

    rollout: Rollout
    salt: str
    base: int
    points: int
    challenger: ServedVersion
    champion: ServedVersion


class Roster(Struct, frozen=True, kw_only=True):
    """All that a worker obeys, as of one generation of the store.

    `canaries` has those models alone of which a rollout gives callers to a challenger now,
    `shadows` those whose champion a challenger shadows.
    """

    generation: int
    models: Mapping[str, ServedModel]
    keyring: Keyring
    failures: Mapping[str, str]
    unloaded: frozenset[str] = frozenset()
    logging: LogSettings = LogSettings()
    tracers: Tracers | None = None
    canaries: Mapping[str, tuple[Canary, ...]] = {}
    shadows: Mapping[str, Sequence[Rollout]] = {}

    def model(self, name: str) -> ServedModel:
        """Find a model that answers. Raises NotServed and ModelUnloaded."""
        found = self.models.get(name)
        if found is None:
            raise ModelUnloaded(name) if name in self.unloaded else NotServed(name)
        return found

    def choose(self, name: str, version: str | None) -> tuple[ServedVersion, Lane]:
        """Find the version a request meets, and the lane. Raises NotServed and ModelUnloaded."""
        model = self.model(name)
        if version is None:
            if model.champion is None:
                raise NotServed(name)
            if model.fallback is not None:
                return model.fallback, Lane.FALLBACK
            return model.champion, Lane.CHAMPION
        served = model.versions.get(int(version)) if _VERSION.fullmatch(version) else None
        if served is None:
            raise NotServed(name, version)
        return served, Lane.PINNED

    @property
    def served(self) -> frozenset[tuple[str, int]]:
        """All versions that may answer, each as its model and number."""
        found = {(name, number) for name, model in self.models.items() for number in model.versions}
        champions = (model.champion for model in self.models.values())
        return frozenset(found | {(one.model, one.number) for one in champions if one is not None})

    @property
    def canary_rollouts(self) -> frozenset[str]:
        """The ids of the rollouts that give callers to a challenger now."""
        return frozenset(one.rollout.id for own in self.canaries.values() for one in own)

    def is_candidate(self, served: ServedVersion) -> bool:
        """Say whether a version is loaded only because of a rollout."""
        return served.number in self.models[served.model].candidates
