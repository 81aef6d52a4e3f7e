"""What the Open Inference Protocol answers about the server and its models."""

import os
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter
from msgspec import Struct

import gateway
from gateway.http.access import OPEN, open_to
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.protocol.messages import ModelMetadata, ServerMetadata, model_metadata, server_metadata
from gateway.roster import Roster, ServedVersion
from gateway.security import Role
from gateway.settings import Settings

SERVER_NAME = "governed-gateway"
# What is served of the protocol beyond its core, by the names it has there; only what really is.
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "parameters",
    "schedule_policy",
    "model_repository",
    "model_configuration",
    "statistics",
    "logging",
    "trace",
)
_LEAST_FREE_BYTES = 1 << 20
_READERS = open_to(Role.INVOKER, Role.VIEWER)

ModelName = Annotated[str, PathParameter(description="Name of a model.")]
VersionText = Annotated[str, PathParameter(description="Number of a version.")]


class Live(Struct):
    live: bool


class Ready(Struct):
    """Whether requests are answered; `live` too, since the protocol's text names it so."""

    ready: bool
    live: bool = True


class ModelReady(Struct):
    name: str
    ready: bool


class ServedModels(Struct):
    models: list[str]


@get("/v2", opt=OPEN, sync_to_thread=False)
def describe_server() -> ServerMetadata:
    """Name the server and the extensions of the protocol it serves."""
    return server_metadata(SERVER_NAME, gateway.VERSION, EXTENSIONS)


@get("/v2/health/live", opt=OPEN, sync_to_thread=False)
def is_live() -> Live:
    """Say that the server runs."""
    return Live(live=True)


@get("/v2/health/ready", opt=OPEN)
async def is_ready(
    loader: NamedDependency[Loader],
    journal: NamedDependency[Journal],
    settings: NamedDependency[Settings],
) -> Response[Ready]:
    """Say whether inference is answered: versions are loaded, and the disk takes records."""
    disk = os.statvfs(settings.journal_dir)
    has_room = disk.f_bavail * disk.f_frsize >= _LEAST_FREE_BYTES
    ready = has_room and loader.roster.generation >= 0 and await journal.is_taking()
    return Response(Ready(ready=ready), status_code=200 if ready else 503)


@get("/v2/models", opt=_READERS, sync_to_thread=False)
def list_served(loader: NamedDependency[Loader]) -> ServedModels:
    """Name the models that answer."""
    models = loader.roster.models
    return ServedModels(models=sorted(name for name in models if models[name].champion))


@get("/v2/models/{model:str}", opt=_READERS, sync_to_thread=False)
def describe_model(loader: NamedDependency[Loader], model: ModelName) -> ModelMetadata:
    """Describe the champion's inputs and outputs."""
    return _describe(loader.roster, _choose(loader.roster, model, None))


@get("/v2/models/{model:str}/versions/{version:str}", opt=_READERS, sync_to_thread=False)
def describe_version(
    loader: NamedDependency[Loader], model: ModelName, version: VersionText
) -> ModelMetadata:
    """Describe one version's inputs and outputs."""
    return _describe(loader.roster, _choose(loader.roster, model, version))


@get("/v2/models/{model:str}/ready", opt=_READERS, sync_to_thread=False)
def is_model_ready(loader: NamedDependency[Loader], model: ModelName) -> ModelReady:
    """Say that a model answers; it is not found if it does not."""
    return ModelReady(name=_choose(loader.roster, model, None).model, ready=True)


@get("/v2/models/{model:str}/versions/{version:str}/ready", opt=_READERS, sync_to_thread=False)
def is_version_ready(
    loader: NamedDependency[Loader], model: ModelName, version: VersionText
) -> ModelReady:
    """Say that a version answers; it is not found if it does not."""
    return ModelReady(name=_choose(loader.roster, model, version).model, ready=True)


def _choose(roster: Roster, model: str, version: str | None) -> ServedVersion:
    served, _ = roster.choose(model, version)
    return served


def _describe(roster: Roster, served: ServedVersion) -> ModelMetadata:
    model = roster.model(served.model)
    versions = sorted(set(model.versions) - model.candidates)
    return model_metadata(served.model, versions, served.signature)
