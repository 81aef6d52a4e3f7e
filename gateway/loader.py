"""Follows the store: builds and warms the next roster beside the present one, then swaps it in.

A version that cannot be loaded never takes anything away: what answered before goes on answering.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.contract import Enforcement, compile_contract, compile_outputs
from gateway.errors import GatewayError
from gateway.keeping import resolve_policy
from gateway.leaves import AnswerLeaves
from gateway.logs import LogSettings, apply_log_settings, logger
from gateway.protocol.reader import RequestReader
from gateway.roster import Canary, Roster, ServedModel, ServedVersion
from gateway.runtime import Runner, Watchdog
from gateway.security import Keyring
from gateway.tracing import trace_models
from registry import drift, privacy, service
from registry.drift import Fallback
from registry.errors import RegistryError, StoreUnavailable
from registry.lifecycle import champions, first_named, warm_up_ends
from registry.payload_policy import PayloadPolicy
from registry.reader import Reader
from registry.registry import Registry
from registry.rollouts import Rollout
from registry.vault import Vault
from registry.versions import CHAMPION, Version
from registry.workers import SettingName, WorkerStatus

EMPTY_ROSTER = Roster(generation=-1, models={}, keyring=Keyring(()), failures={})
_RETRY_S = 5.0


class _Wanted(Struct, frozen=True):
    """What is to be loaded of a model, since when each version has been named, and its rollouts.

    The candidates among the versions are loaded only because of those, which are not over.
    """

    versions: list[Version]
    champion: int | None
    candidates: frozenset[int]
    first_named: Mapping[int, datetime]
    open_rollouts: Sequence[Rollout]


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
        roster = await asyncio.to_thread(self._build, self.roster)
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

    def _build(self, present: Roster) -> Roster:
        with self._registry.store.snapshot() as view:
            generation = view.generation()
            keyring = Keyring(view.api_keys())
            out_of_service = service.unloaded(view)
            logging = service.values(view, SettingName.LOGGING).get(None, "{}")
            traces = service.values(view, SettingName.TRACE)
            policies = privacy.effective_policies(view)
            fallbacks = drift.fallbacks(view)
            rollouts = view.rollouts(None)
            wanted = {
                model: _want(view, model, [one for one in rollouts if one.model == model])
                for model in view.models()
                if model not in out_of_service
            }
        failures: dict[str, str] = {}
        models = {
            model: _stand_in(
                self._build_model(
                    present.models.get(model), one, policies.get(model, PayloadPolicy()), failures
                ),
                fallbacks.get(model),
            )
            for model, one in wanted.items()
            if one.versions
        }
        return Roster(
            generation=generation,
            models=models,
            keyring=keyring,
            failures=failures,
            unloaded=out_of_service,
            logging=msgspec.json.decode(logging, type=LogSettings),
            tracers=trace_models(models, traces, present.tracers),
            canaries={
                model: canaries
                for model, served in models.items()
                if (canaries := _canaries(served, wanted[model].open_rollouts))
            },
            shadows={
                model: shadows
                for model in models
                if (shadows := [one for one in wanted[model].open_rollouts if one.shadow_points])
            },
        )

    def _build_model(
        self,
        present: ServedModel | None,
        wanted: _Wanted,
        policy: PayloadPolicy,
        failures: dict[str, str],
    ) -> ServedModel:
        versions: dict[int, ServedVersion] = {}
        for version in wanted.versions:
            loaded = present.versions.get(version.number) if present else None
            try:
                served = loaded or load_version(
                    self._registry,
                    version,
                    wanted.first_named.get(version.number),
                    self._watchdog,
                )
                versions[version.number] = keep_by(policy, served, self._registry.store.vault)
            except (RegistryError, GatewayError) as error:
                failures[f"{version.model}/{version.number}"] = str(error)
                logger.error(
                    "version_not_loaded",
                    model=version.model,
                    version=version.number,
                    error=error.slug,
                    detail=str(error),
                )
        champion = wanted.champion
        first = versions.get(champion) if champion is not None else None
        if first is None and champion is not None and present is not None:
            first = present.champion
        return ServedModel(champion=first, versions=versions, candidates=wanted.candidates)


def keep_by(policy: PayloadPolicy, served: ServedVersion, vault: Vault) -> ServedVersion:
    """Return a version that keeps of its payloads what a policy says."""
    keeping = resolve_policy(policy, served.signature, vault)
    if keeping == served.keeping:
        return served
    reduced = () if keeping is None else keeping.reduced
    return replace(served, keeping=keeping, leaves=_leaves(served, reduced))


def load_version(
    registry: Registry, version: Version, named: datetime | None, watchdog: Watchdog
) -> ServedVersion:
    """Load and warm a version that was first named at a time.

    Raises RegistryError and GatewayError for one that cannot be loaded.
    """
    manifest = registry.manifest(version)
    runner = Runner(
        model=version.model,
        version=version.number,
        artifact=registry.artifacts.read(version.artifact),
        signature=manifest.signature,
        watchdog=watchdog,
        sample=manifest.sample,
    )
    return ServedVersion(
        model=version.model,
        number=version.number,
        artifact=version.artifact,
        manifest=version.manifest,
        signature=manifest.signature,
        reader=RequestReader(manifest.signature),
        checker=compile_contract(manifest.signature, manifest.contract, manifest.reference),
        outputs=(
            compile_outputs(manifest.signature, manifest.contract)
            if manifest.contract.outputs
            else None
        ),
        enforcement=Enforcement(manifest.contract, warm_up_ends(manifest.contract, named)),
        leaves=AnswerLeaves(
            model=version.model,
            version=version.number,
            digest=version.artifact,
            manifest=version.manifest,
        ),
        runner=runner,
        reference=manifest.reference,
    )


def _stand_in(model: ServedModel, wanted: Fallback | None) -> ServedModel:
    """Let a version answer in the champion's place, where it is that champion's and is loaded."""
    champion = model.champion
    if wanted is None or champion is None or champion.number != wanted.champion:
        return model
    return replace(model, fallback=model.versions.get(wanted.version))


def _canaries(model: ServedModel, rollouts: Iterable[Rollout]) -> tuple[Canary, ...]:
    """Let challengers answer callers, where they and the champion of their rollout are loaded."""
    champion = model.champion
    if champion is None:
        return ()
    return tuple(
        Canary(
            rollout=one,
            salt=one.salt,
            base=one.base,
            points=one.points,
            challenger=_answering_for(one, model.versions[one.plan.challenger]),
            champion=champion,
        )
        for one in rollouts
        if one.points and one.champion == champion.number and one.plan.challenger in model.versions
    )


def _answering_for(rollout: Rollout, served: ServedVersion) -> ServedVersion:
    reduced = () if served.keeping is None else served.keeping.reduced
    return replace(served, leaves=_leaves(served, reduced, rollout.id))


def _leaves(
    served: ServedVersion, reduced: tuple[str, ...], rollout: str | None = None
) -> AnswerLeaves:
    return AnswerLeaves(
        model=served.model,
        version=served.number,
        digest=served.artifact,
        manifest=served.manifest,
        reduced=reduced,
        rollout=rollout,
    )


def _want(view: Reader, model: str, rollouts: Sequence[Rollout]) -> _Wanted:
    """Find out what is to be loaded of a model, of which there have been these rollouts."""
    versions, aliases, changes = (
        view.versions(model),
        view.aliases(model),
        view.alias_changes(model),
    )
    open_rollouts = [one for one in rollouts if not one.phase.is_over]
    stack = champions([change for change in changes if change.alias == CHAMPION])
    named, candidates = wanted_versions(aliases, stack, open_rollouts)
    return _Wanted(
        versions=[one for one in versions if one.number in named | candidates],
        champion=aliases.get(CHAMPION),
        candidates=candidates,
        first_named=first_named(changes, rollouts),
        open_rollouts=open_rollouts,
    )


def wanted_versions(
    aliases: Mapping[str, int], champion_stack: Sequence[int], open_rollouts: Sequence[Rollout]
) -> tuple[frozenset[int], frozenset[int]]:
    """Choose what to keep loaded: what callers may name, and candidates, which testers may.

    Callers may name what an alias does, and the champion to roll back to. Candidates are the other
    challengers of open rollouts.
    """
    named = frozenset(aliases.values()) | frozenset(champion_stack[-2:])
    return named, frozenset(one.plan.challenger for one in open_rollouts) - named
