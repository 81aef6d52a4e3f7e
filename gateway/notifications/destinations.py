"""Destinations and their secrets, made and removed together."""

from uuid import uuid4

from msgspec import Struct

from gateway.notifications.addresses import beginning_of, check_address
from gateway.notifications.secrets import Secrets, new_key
from registry.errors import RegistryError
from registry.events import Destination, EventType, Form
from registry.notifications import add_destination, remove_destination
from registry.recording import Author
from registry.registry import Registry
from registry.times import now


class NewDestination(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to tell, and of which models and types; of all where none are named.

    `allow_plain` lets an address on another machine have `http`.
    """

    name: str
    url: str
    form: Form = Form.STANDARD
    models: tuple[str, ...] = ()
    types: tuple[EventType, ...] = ()
    allow_plain: bool = False


def open_destination(
    registry: Registry, secrets: Secrets, wanted: NewDestination, author: Author
) -> tuple[Destination, str | None]:
    """Make a destination, and return it with the key that signs, which is shown this once.

    Messages for Slack are not signed: whoever knows the address may write there, so it is kept as
    the key is. Raises InvalidRequest, ModelNotFound, DestinationExists and StoreUnavailable.
    """
    check_address(wanted.url, allow_plain=wanted.allow_plain)
    is_signed = wanted.form is Form.STANDARD
    secret = new_key() if is_signed else wanted.url
    destination = Destination(
        name=wanted.name,
        url=wanted.url if is_signed else beginning_of(wanted.url),
        form=wanted.form,
        secret=uuid4().hex,
        models=wanted.models,
        types=wanted.types,
        author=author.principal,
        created=now(),
    )
    secrets.add(destination.secret, secret)
    try:
        add_destination(registry, destination, author)
    except RegistryError:
        secrets.remove(destination.secret)
        raise
    return destination, secret if is_signed else None


def close_destination(registry: Registry, secrets: Secrets, name: str, author: Author) -> None:
    """Remove a destination with all that waits for it, and its secret.

    Raises DestinationNotFound and StoreUnavailable.
    """
    removed = remove_destination(registry, name, author)
    secrets.remove(removed.secret)
