"""Admin routes for API keys."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.once import SHOWS_SECRET
from gateway.security import Role, make_key
from registry.registry import Registry
from registry.times import as_utc, now
from registry.workers import Key

_ADMINS = open_to(Role.ADMIN)

KeyId = Annotated[str, PathParameter(description="Id of a key.")]


class NewKey(Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    roles: list[str]
    expires: datetime | None = None
    hide_expected: bool = False
    owner: str | None = None


class KeyView(Struct, kw_only=True):
    """A key without anything its secret could be found from."""

    id: str
    name: str
    roles: tuple[str, ...]
    author: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    hide_expected: bool
    owner: str | None


class CreatedKey(Struct, kw_only=True):
    """A new key with its token, which is shown this once."""

    key: KeyView
    token: str


@post(
    "/admin/keys",
    opt={**_ADMINS, **SHOWS_SECRET},
    request_max_body_size=JSON_LIMIT,
    status_code=201,
)
async def create_key(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], data: JSONBody[NewKey]
) -> CreatedKey:
    """Make a key with roles and perhaps an expiry; its token is shown this once."""
    author = author_of(request)
    key, token = make_key(
        name=data.name,
        roles=data.roles,
        author=author.principal,
        created=now(),
        expires=None if data.expires is None else as_utc(data.expires),
        hides_expected=data.hide_expected,
        owner=data.owner,
    )
    await asyncio.to_thread(registry.add_key, key, author)
    return CreatedKey(key=_view(key), token=token)


@get("/admin/keys", opt=_ADMINS, sync_to_thread=True)
def list_keys(registry: NamedDependency[Registry]) -> list[KeyView]:
    """List all keys, revoked ones included."""
    return [_view(key) for key in registry.store.api_keys()]


@delete("/admin/keys/{key_id:str}", opt=_ADMINS, status_code=200, sync_to_thread=True)
def revoke_key(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], key_id: KeyId
) -> KeyView:
    """End a key; every worker refuses it within a second."""
    return _view(registry.revoke_key(key_id, author_of(request)))


def _view(key: Key) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        roles=key.roles,
        author=key.author,
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
        hide_expected=key.hides_expected,
        owner=key.owner,
    )
