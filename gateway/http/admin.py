"""Admin routes: publish, what there is of a model, and what was live when."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, PathParameter, QueryParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.conditions import write_tag
from gateway.http.health import ModelName
from gateway.security import Role
from registry.audit.summary import RuleCount, count_rules
from registry.errors import Rejected, clip
from registry.lifecycle import first_named, warm_up_ends
from registry.manifest import Draft, Manifest
from registry.model_state import state_tag
from registry.reader import Reader
from registry.registry import LiveVersion, Registry
from registry.times import as_utc, now
from registry.versions import AliasChange, Version
from registry.workers import WorkerStatus

JSON_LIMIT = 64 << 10  # bytes of a body that says what to do

VersionNumber = Annotated[int, PathParameter(ge=1, description="Number of a version.")]


class PublishForm(Struct):
    """The parts of an upload: the ONNX file, and a `registry.manifest.Draft` as JSON."""

    model: UploadFile
    manifest: UploadFile | None = None


class ModelView(Struct, kw_only=True):
    """A model's versions and what its aliases name; `workers` say how far they have followed."""

    name: str
    aliases: dict[str, int]
    versions: list[Version]
    generation: int
    workers: list[WorkerStatus]


class VersionView(Struct, kw_only=True):
    """A version with everything it keeps, and what its rules have done so far.

    They only observe until `warm_up_ends`, which is None where no alias has named it yet.
    """

    version: Version
    aliases: list[str]
    manifest: Manifest
    warm_up_ends: datetime | None = None
    rules: list[RuleCount] = []


class History(Struct, kw_only=True):
    """All changes of a model's aliases, oldest first, or what was live at one time."""

    changes: list[AliasChange]
    live: LiveVersion | None = None


@post("/admin/models/{model:str}/versions", opt=open_to(Role.PUBLISHER), status_code=201)
async def publish(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    data: Annotated[PublishForm, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> VersionView:
    """Publish a file as the next version of a model; it is not live until it is promoted."""
    artifact = await data.model.read()
    draft = Draft() if data.manifest is None else _read_draft(await data.manifest.read())
    author = author_of(request)
    version = await asyncio.to_thread(registry.publish, model, artifact, draft, author)
    manifest = await asyncio.to_thread(registry.manifest, version)
    return VersionView(version=version, aliases=[], manifest=manifest)


@get("/admin/models", opt=open_to(Role.VIEWER), sync_to_thread=True)
def list_models(registry: NamedDependency[Registry]) -> list[ModelView]:
    """List all models with their versions and aliases."""
    with registry.store.snapshot() as view:
        return [_model_view(view, model) for model in view.models()]


@get("/admin/models/{model:str}", opt=open_to(Role.VIEWER), sync_to_thread=True)
def show_model(registry: NamedDependency[Registry], model: ModelName) -> Response[ModelView]:
    """Show one model with its versions and aliases; the `ETag` names its state for `If-Match`."""
    registry.versions(model)
    with registry.store.snapshot() as view:
        tag = write_tag(state_tag(view, model))
        return Response(_model_view(view, model), headers={"etag": tag})


@get(
    "/admin/models/{model:str}/versions/{version:int}",
    opt=open_to(Role.VIEWER),
    sync_to_thread=True,
)
def show_version(
    registry: NamedDependency[Registry], model: ModelName, version: VersionNumber
) -> VersionView:
    """Show one version with its signature, contract, reference, lineage and certificate."""
    found = registry.version(model, version)
    manifest = registry.manifest(found)
    aliases = registry.store.aliases(model)
    named = first_named(registry.store.alias_changes(model), registry.store.rollouts(model)).get(
        version
    )
    return VersionView(
        version=found,
        aliases=[alias for alias, number in aliases.items() if number == version],
        manifest=manifest,
        warm_up_ends=warm_up_ends(manifest.contract, named),
        rules=count_rules(registry.store, found, now()),
    )


@get("/admin/models/{model:str}/history", opt=open_to(Role.VIEWER), sync_to_thread=True)
def show_history(
    registry: NamedDependency[Registry],
    model: ModelName,
    at: Annotated[
        datetime | None, QueryParameter(description="Also say what was live at this time.")
    ] = None,
) -> History:
    """Show who changed what was live, when and why."""
    registry.versions(model)
    return History(
        changes=registry.store.alias_changes(model),
        live=None if at is None else registry.live_at(model, as_utc(at)),
    )


def _model_view(view: Reader, model: str) -> ModelView:
    return ModelView(
        name=model,
        aliases=view.aliases(model),
        versions=view.versions(model),
        generation=view.generation(),
        workers=view.workers(),
    )


def _read_draft(data: bytes) -> Draft:
    try:
        return msgspec.json.decode(data, type=Draft)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The manifest cannot be read: {clip(str(error), 200)}"
        raise Rejected("manifest", message) from error
