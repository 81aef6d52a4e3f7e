"""The protocol's extension `model_repository`, over the versions that the registry knows.

`load` and `unload` mean into and out of service. Neither changes what an alias names, so neither is
a way around promotion, and nothing is ever loaded that was not published.
"""

import asyncio
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from msgspec import Struct

from gateway.errors import NotLoaded
from gateway.following import followed
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.health import ModelName
from gateway.roster_building import wanted_versions
from gateway.security import Role
from registry import service
from registry.errors import InvalidRequest
from registry.lifecycle import champions
from registry.reader import Reader
from registry.registry import Registry
from registry.versions import CHAMPION, Version, VersionState
from registry.workers import WorkerStatus

_DEPLOYERS = open_to(Role.DEPLOYER)
_READERS = open_to(Role.VIEWER, Role.DEPLOYER)
# A file that somebody tries to load comes so far, to be told what to do instead.
_LOAD_LIMIT = 16 << 20

T = TypeVar("T", bound=Struct)


class State(StrEnum):
    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class IndexRequest(Struct):
    ready: bool = False


class IndexEntry(Struct, kw_only=True):
    """One version, whether every worker answers with it, and why not."""

    name: str
    version: str
    state: State
    reason: str


class LoadRequest(Struct):
    parameters: dict[str, Any] = {}


class InService(Struct):
    """What is in service now, in every worker."""

    name: str
    versions: list[str]


@post("/v2/repository/index", opt=_READERS, request_max_body_size=JSON_LIMIT, status_code=200)
async def show_index(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry]
) -> list[IndexEntry]:
    """List the versions of all models with their state; the body may be empty."""
    wanted = read_body(await request.body(), IndexRequest)
    entries = await asyncio.to_thread(_index, registry)
    return [one for one in entries if one.state is State.READY or not wanted.ready]


@post(
    "/v2/repository/models/{model:str}/load",
    opt=_DEPLOYERS,
    request_max_body_size=_LOAD_LIMIT,
    status_code=200,
)
async def load(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> InService:
    """Bring a model back into service: exactly what its aliases name, in every worker."""
    given = read_body(await request.body(), LoadRequest).parameters
    if any(name == "config" or name.startswith("file:") for name in given):
        raise InvalidRequest(
            "parameters",
            "Nothing is loaded that was not published: publish the file as a version of the model"
            " and promote it.",
        )
    await asyncio.to_thread(service.load, registry, model, author_of(request), _reason(given))
    return await _when_followed(registry, model)


@post(
    "/v2/repository/models/{model:str}/unload",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
)
async def unload(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> InService:
    """Take a model out of service in every worker until it is loaded; its aliases stay."""
    given = read_body(await request.body(), LoadRequest).parameters
    await asyncio.to_thread(service.unload, registry, model, author_of(request), _reason(given))
    return await _when_followed(registry, model)


def read_body(body: bytes, kind: type[T]) -> T:
    """Read a body that may be empty; members that are not known are passed over.

    Raises InvalidRequest.
    """
    if not body:
        return kind()
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(
            "body", "Send no body, or a JSON object with the members of this route."
        ) from error


async def _when_followed(registry: Registry, model: str) -> InService:
    failures = await followed(registry.store)
    for name, why in failures.items():
        if name.rpartition("/")[0] == model:
            raise NotLoaded(model, why)
    entries = await asyncio.to_thread(_index, registry)
    ready = [one.version for one in entries if one.name == model and one.state is State.READY]
    return InService(model, ready)


def _reason(parameters: dict[str, Any]) -> str | None:
    reason = parameters.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise InvalidRequest("reason", "The reason is a text.")
    return reason


def _index(registry: Registry) -> list[IndexEntry]:
    with registry.store.snapshot() as view:
        workers, out_of_service = view.workers(), service.unloaded(view)
        is_followed = all(status.generation >= view.generation() for status in workers)
        return [
            _entry(version, wanted, workers, model in out_of_service, is_followed)
            for model in view.models()
            for wanted in [_wanted(view, model)]
            for version in view.versions(model)
        ]


def _wanted(view: Reader, model: str) -> frozenset[int]:
    changes = [change for change in view.alias_changes(model) if change.alias == CHAMPION]
    rollouts = [one for one in view.open_rollouts() if one.model == model]
    named, candidates = wanted_versions(view.aliases(model), champions(changes), rollouts)
    return named | candidates


def _entry(
    version: Version,
    wanted: frozenset[int],
    workers: list[WorkerStatus],
    is_unloaded: bool,
    is_followed: bool,
) -> IndexEntry:
    name = f"{version.model}/{version.number}"
    failure = next((w.failures[name] for w in workers if name in w.failures), None)
    state, reason = State.UNAVAILABLE, ""
    if version.state is VersionState.RETIRED:
        reason = "it is retired"
    elif version.number not in wanted:
        reason = "no alias names it"
    elif is_unloaded:
        state = State.UNAVAILABLE if is_followed else State.UNLOADING
        reason = "the model was unloaded"
    elif failure is not None:
        reason = failure
    else:
        state = State.READY if is_followed else State.LOADING
    return IndexEntry(name=version.model, version=str(version.number), state=state, reason=reason)
