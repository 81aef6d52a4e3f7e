"""Admin routes: whom to tell of what happens, and what is on its way to them."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.once import SHOWS_SECRET
from gateway.notifications.destinations import NewDestination, close_destination, open_destination
from gateway.notifications.secrets import Secrets
from gateway.security import Role
from gateway.settings import Settings
from registry import notifications
from registry.events import Delivery, DeliveryState, Destination, EventType, Form
from registry.registry import Registry

_READERS = open_to(Role.VIEWER, Role.ADMIN)
_ADMINS = open_to(Role.ADMIN)
_MOST = 1_000

DestinationName = Annotated[str, PathParameter(description="Name of a destination.")]
DeliveryNumber = Annotated[int, PathParameter(ge=1, description="Id of a delivery.")]


class DestinationView(Struct, kw_only=True):
    """A destination without its secret; of one for Slack, the beginning of the address."""

    name: str
    url: str
    form: Form
    models: tuple[str, ...]
    types: tuple[EventType, ...]
    author: str
    created: datetime
    paused: datetime | None


class CreatedDestination(Struct, kw_only=True):
    """A new destination with the key that signs, which is shown this once; null if none does."""

    destination: DestinationView
    secret: str | None


class Deliveries(Struct, kw_only=True):
    """Deliveries, newest first; while older ones follow, `before` is how to ask for them."""

    deliveries: list[Delivery]
    before: int | None


@get("/admin/destinations", opt=_READERS, sync_to_thread=True)
def list_destinations(registry: NamedDependency[Registry]) -> list[DestinationView]:
    """List whom to tell of what."""
    return [_view(one) for one in registry.store.destinations()]


@post(
    "/admin/destinations",
    opt={**_ADMINS, **SHOWS_SECRET},
    request_max_body_size=JSON_LIMIT,
    status_code=201,
)
async def create_destination(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    settings: NamedDependency[Settings],
    data: JSONBody[NewDestination],
) -> CreatedDestination:
    """Tell somebody from now on; the key that signs what is sent is shown this once."""
    secrets = Secrets(settings.destinations_dir)
    destination, key = await asyncio.to_thread(
        open_destination, registry, secrets, data, author_of(request)
    )
    return CreatedDestination(destination=_view(destination), secret=key)


@delete("/admin/destinations/{name:str}", opt=_ADMINS, status_code=204, sync_to_thread=True)
def remove_destination(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    settings: NamedDependency[Settings],
    name: DestinationName,
) -> None:
    """Tell somebody nothing more, not even what waits."""
    close_destination(registry, Secrets(settings.destinations_dir), name, author_of(request))


@post("/admin/destinations/{name:str}/resume", opt=_ADMINS, status_code=200, sync_to_thread=True)
def resume_destination(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], name: DestinationName
) -> DestinationView:
    """Send all that waits, after the receiver had asked for nothing more (410)."""
    return _view(notifications.resume_destination(registry, name, author_of(request)))


@get("/admin/deliveries", opt=_READERS, sync_to_thread=True)
def list_deliveries(
    registry: NamedDependency[Registry],
    in_state: Annotated[
        DeliveryState | None, QueryParameter(name="state", description="Only those in this state.")
    ] = None,
    before: Annotated[
        int | None, QueryParameter(ge=1, description="Only those with ids below this.")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=_MOST, description="How many at most.")] = 100,
) -> Deliveries:
    """List messages that wait, were delivered in the last 30 days, or could not be."""
    found = registry.store.deliveries(in_state, before=before, limit=limit)
    follows = found[-1].number if len(found) == limit else None
    return Deliveries(deliveries=found, before=follows)


@post("/admin/deliveries/{number:int}/retry", opt=_ADMINS, status_code=200, sync_to_thread=True)
def retry_delivery(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], number: DeliveryNumber
) -> Delivery:
    """Send a message again, under the id that it had."""
    return notifications.send_again(registry, number, author_of(request))


def _view(one: Destination) -> DestinationView:
    return DestinationView(
        name=one.name,
        url=one.url,
        form=one.form,
        models=one.models,
        types=one.types,
        author=one.author,
        created=one.created,
        paused=one.paused,
    )
