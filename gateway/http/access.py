"""Who may use which route: every handler names its roles, and one that names none is closed."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.security import Keyring, Role, authenticate, authorise, read_credential
from registry.recording import Author
from registry.workers import Key

_OPTION = "roles"


def open_to(*roles: Role) -> dict[str, frozenset[Role]]:
    """Declare a route's roles, as the `opt` of its handler; a key needs one of them."""
    return {_OPTION: frozenset(roles)}


# A route that needs no key.
OPEN: dict[str, None] = {_OPTION: None}


def roles_of(handler: BaseRouteHandler) -> frozenset[Role] | None:
    """Return the roles of a route: None if it needs no key, empty if none was declared."""
    roles: frozenset[Role] | None = handler.opt.get(_OPTION, frozenset())
    return roles


def check_access(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass whose key has a role of the route. Raises Unauthenticated, Forbidden."""
    roles = roles_of(handler)
    if roles is None:
        return
    keyring: Keyring = connection.app.state.loader.roster.keyring
    key = authenticate(keyring, read_credential(connection.headers.get("authorization")))
    authorise(key, roles)
    connection.state.key = key


def key_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Key:
    """Return the key that a request was let pass with."""
    key: Key = connection.state.key
    return key


def author_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Author:
    """Name who makes a change: the key with its roles, and the address the request came from."""
    key = key_of(connection)
    source = connection.client.host if connection.client else None
    return Author(principal=key.id, source=source, roles=frozenset(key.roles))
