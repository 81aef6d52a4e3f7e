"""Follows the store: builds and warms the next roster beside the present one, then swaps it in.

A version that cannot be loaded never takes anything away: what answered before goes on answering.
"""

import asyncio
import os
from collections.abc import Mapping
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
from gateway.roster import Roster, ServedModel, ServedVersion
from gateway.runtime import Runner, Watchdog
from gateway.security import Keyring
from gateway.tracing import trace_models
from registry import drift, privacy, service
from registry.drift import Fallback
from registry.errors import RegistryError, StoreUnavailable
from registry.lifecycle import champions, first_named, warm_up_ends
from registry.payload_policy import PayloadPolicy
from registry.registry import Registry
from registry.versions import CHAMPION, Version
from registry.workers import SettingName, WorkerStatus

EMPTY_ROSTER = Roster(generation=-1, models={}, keyring=Keyring(()), failures={})
_RETRY_S = 5.0


class _Wanted(Struct, frozen=True):
    """What is to be loaded of a model, and since when each of its versions has had a name."""

    versions: list[Version]
    champion: int | None
    first_named: Mapping[int, datetime]


class Loader:
    """Keeps `roster` at the newest generation of the store that could be loaded."""

    def __init__(
        self,
        *,
        worker: str,
        registry: Registry,
        watchdog: Watchdog,
        poll_s: float,
    ) -> None:
        self.roster = EMPTY_ROSTER
        self._worker = worker
        self._registry = registry
        self._watchdog = watchdog
        self._poll_s = poll_s
        self._is_reported = False

    async def load(self) -> None:
        """Bring the roster to the store's present generation, and tell the store that it is.

        Where the store cannot take that, `follow` tells it later: the roster serves all the same.
        """
        roster = await asyncio.to_thread(self._build, self.roster)
        self.roster = roster
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
        await asyncio.to_thread(self._registry.store.report_worker, status)
        self._is_reported = True

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
            in_service = [model for model in view.models() if model not in out_of_service]
            changes = {model: view.alias_changes(model) for model in in_service}
            wanted = {
                model: _Wanted(
                    *wanted_versions(
                        view.versions(model),
                        view.aliases(model),
                        champions([c for c in changes[model] if c.alias == CHAMPION]),
                    ),
                    first_named(changes[model]),
                )
                for model in in_service
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
                served = loaded or self._load_version(
                    version, wanted.first_named.get(version.number)
                )
                versions[version.number] = self._keep_by(policy, served)
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
        return ServedModel(champion=first, versions=versions)

    def _keep_by(self, policy: PayloadPolicy, served: ServedVersion) -> ServedVersion:
        """Return a version that keeps of its payloads what a policy says."""
        keeping = resolve_policy(policy, served.signature, self._registry.store.vault)
        if keeping == served.keeping:
            return served
        reduced = () if keeping is None else keeping.reduced
        return replace(served, keeping=keeping, leaves=_leaves(served, reduced))

    def _load_version(self, version: Version, named: datetime | None) -> ServedVersion:
        manifest = self._registry.manifest(version)
        runner = Runner(
            model=version.model,
            version=version.number,
            artifact=self._registry.artifacts.read(version.artifact),
            signature=manifest.signature,
            watchdog=self._watchdog,
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


def _leaves(served: ServedVersion, reduced: tuple[str, ...]) -> AnswerLeaves:
    return AnswerLeaves(
        model=served.model,
        version=served.number,
        digest=served.artifact,
        manifest=served.manifest,
        reduced=reduced,
    )


def wanted_versions(
    versions: list[Version], aliases: dict[str, int], champion_stack: list[int]
) -> tuple[list[Version], int | None]:
    """Choose what to keep loaded: all that an alias names, and the champion to roll back to."""
    numbers = set(aliases.values()) | set(champion_stack[-2:])
    return [v for v in versions if v.number in numbers], aliases.get(CHAMPION)
