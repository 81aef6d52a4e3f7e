"""Admin routes: what is kept of a model's payloads, for how long, and under which hold.

What is set is stored and recorded, and every worker obeys it when the answer is given.
"""

import asyncio
from typing import Any

import msgspec
from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from gateway.following import followed
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.bodies import read_object
from gateway.http.health import ModelName
from gateway.security import Role
from registry import privacy
from registry.payload_policy import PayloadPolicy
from registry.registry import Registry
from registry.retention import Retention

_READERS = open_to(Role.VIEWER, Role.AUDITOR, Role.ADMIN)
_ADMINS = open_to(Role.ADMIN)


class RetentionView(Struct, kw_only=True):
    """Days that are null have no end; `hold` is why nothing of the model may go."""

    preset: str | None
    payload_days: int | None
    record_days: int | None
    no_payloads: bool
    hold: str | None


class HoldChange(Struct, forbid_unknown_fields=True):
    reason: str


@get("/admin/models/{model:str}/payload-policy", opt=_READERS)
async def show_payload_policy(
    registry: NamedDependency[Registry], model: ModelName
) -> PayloadPolicy:
    """Show what is kept of the payloads of a model."""
    await asyncio.to_thread(registry.versions, model)
    return await asyncio.to_thread(privacy.payload_policy, registry.store, model)


@put("/admin/models/{model:str}/payload-policy", opt=_ADMINS, request_max_body_size=JSON_LIMIT)
async def set_payload_policy(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> PayloadPolicy:
    """Set what is kept of the payloads of a model; an empty object keeps them as they are."""
    policy = read_object(await request.body(), PayloadPolicy)
    author = author_of(request)
    await asyncio.to_thread(privacy.set_payload_policy, registry, model, policy, author)
    await followed(registry.store)
    return policy


@get("/admin/models/{model:str}/retention", opt=_READERS)
async def show_retention(registry: NamedDependency[Registry], model: ModelName) -> RetentionView:
    """Show for how long payloads and records of a model are kept, and whether they are held."""
    return await asyncio.to_thread(_view, registry, model)


@put("/admin/models/{model:str}/retention", opt=_ADMINS, request_max_body_size=JSON_LIMIT)
async def set_retention(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> RetentionView:
    """Set a preset, or days of one's own; an empty object keeps everything without end."""
    retention = read_object(await request.body(), Retention)
    author = author_of(request)
    await asyncio.to_thread(privacy.set_retention, registry, model, retention, author)
    await followed(registry.store)
    return await asyncio.to_thread(_view, registry, model)


@post("/admin/models/{model:str}/hold", opt=_ADMINS, status_code=200, sync_to_thread=True)
def set_hold(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    data: JSONBody[HoldChange],
) -> RetentionView:
    """Keep all there is of a model until the hold is lifted."""
    privacy.set_hold(registry, model, data.reason, author_of(request))
    return _view(registry, model)


@post("/admin/models/{model:str}/hold/lift", opt=_ADMINS, status_code=200, sync_to_thread=True)
def lift_hold(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    data: JSONBody[HoldChange],
) -> RetentionView:
    """Let retention and erasure have effect on a model again."""
    privacy.lift_hold(registry, model, data.reason, author_of(request))
    return _view(registry, model)


def _view(registry: Registry, model: str) -> RetentionView:
    registry.versions(model)
    retention = privacy.retentions(registry.store).get(model, Retention())
    held = privacy.holds(registry.store).get(model)
    return RetentionView(**msgspec.structs.asdict(retention), hold=held)
