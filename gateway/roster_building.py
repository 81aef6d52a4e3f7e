"""Builds the next roster, as the store wants it, beside the present one.

A version that cannot be loaded never takes anything away: what answered before goes on answering.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import GatewayError
from gateway.logs import LogSettings, logger
from gateway.roster import Canary, Roster, ServedModel, ServedVersion
from gateway.runtime import Watchdog
from gateway.security import Keyring
from gateway.tracing import trace_models
from gateway.version_loading import answering_for, keep_by, load_version
from registry import drift, privacy, service
from registry.drift import Fallback
from registry.errors import RegistryError
from registry.lifecycle import champions, first_named
from registry.payload_policy import PayloadPolicy
from registry.reader import Reader
from registry.registry import Registry
from registry.rollouts import Rollout
from registry.versions import CHAMPION, Version
from registry.workers import SettingName


class _Wanted(Struct, frozen=True):
    """What is to be loaded of a model, since when each version has been named, and its rollouts.

    The candidates among the versions are loaded only because of those, which are not over.
    """

    versions: list[Version]
    champion: int | None
    candidates: frozenset[int]
    first_named: Mapping[int, datetime]
    open_rollouts: Sequence[Rollout]


def build_roster(registry: Registry, watchdog: Watchdog, present: Roster) -> Roster:
    """Build and warm the roster of the store's present generation, from what is loaded already.

    What cannot be loaded stands in its `failures`; a champion that cannot be leaves the one before.
    """
    with registry.store.snapshot() as view:
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
            _build_model(
                registry,
                watchdog,
                present.models.get(model),
                one,
                policy=policies.get(model, PayloadPolicy()),
                failures=failures,
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
    registry: Registry,
    watchdog: Watchdog,
    present: ServedModel | None,
    wanted: _Wanted,
    *,
    policy: PayloadPolicy,
    failures: dict[str, str],
) -> ServedModel:
    versions: dict[int, ServedVersion] = {}
    for version in wanted.versions:
        loaded = present.versions.get(version.number) if present else None
        try:
            served = loaded or load_version(
                registry, version, wanted.first_named.get(version.number), watchdog
            )
            versions[version.number] = keep_by(policy, served, registry.store.vault)
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
            challenger=answering_for(one, model.versions[one.plan.challenger]),
            champion=champion,
        )
        for one in rollouts
        if one.points and one.champion == champion.number and one.plan.challenger in model.versions
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
    challengers of open rollouts that have come beyond the shadow: until then whatever one of them
    does to the process that loads it is the shadow's affair.
    """
    named = frozenset(aliases.values()) | frozenset(champion_stack[-2:])
    met = frozenset(one.plan.challenger for one in open_rollouts if not one.is_shadow)
    return named, met - named
