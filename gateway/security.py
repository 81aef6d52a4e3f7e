"""Who may do what: API keys and roles. Decisions only; the registry stores the keys."""

import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from gateway.errors import Forbidden, Unauthenticated
from registry.errors import InvalidRequest
from registry.times import now
from registry.workers import Key

_PREFIX = "gw_"
_SECRET_BYTES = 32
_LONGEST_NAME = 200


class Role(StrEnum):
    """What a key may be used for; a key has the rights of its roles and no others."""

    INVOKER = "invoker"  # ask a model for inference, post its ground truth
    TESTER = "tester"  # name versions that are loaded only because of a rollout
    VIEWER = "viewer"  # read models, versions, their history, metrics
    PUBLISHER = "publisher"  # publish versions
    DEPLOYER = "deployer"  # promote, roll back, load, unload
    APPROVER = "approver"  # approve or reject promotions that others asked for
    AUDITOR = "auditor"  # query, export and replay audit records
    ADMIN = "admin"  # make and revoke keys, change what is logged, traced and kept, erase


class Keyring:
    """The keys that are not revoked, found by the digest of their secret."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.digest: key for key in keys if key.revoked is None}

    def find(self, credential: bytes, now: Callable[[], datetime]) -> Key | None:
        """Return the key of a credential, or None where it is unknown, revoked or expired.

        `now` is asked only for a key that expires.
        """
        key = self._keys.get(credential)
        if key is None or (key.expires is not None and key.expires <= now()):
            return None
        return key


def read_credential(authorization: str | None) -> bytes | None:
    """Take the digest of the token out of an `Authorization` header (RFC 6750, section 2.1).

    Keys are found by it, so the time that takes tells nothing about any secret.

    >>> read_credential("Bearer gw_abc") == sha256(b"gw_abc").digest()
    True
    """
    if authorization is None or authorization[:7].lower() != "bearer ":
        return None
    token = authorization[7:].strip()
    return _digest(token) if token else None


def authenticate(keyring: Keyring, credential: bytes | None) -> Key:
    """Return the key of a request's credential. Raises Unauthenticated."""
    key = None if credential is None else keyring.find(credential, now)
    if key is None:
        raise Unauthenticated
    return key


def authorise(key: Key, roles: frozenset[Role]) -> None:
    """Let a key pass that has one of the roles. Raises Forbidden."""
    if roles.isdisjoint(key.roles):
        raise Forbidden(frozenset(str(role) for role in roles))


def make_key(
    *,
    name: str,
    roles: Iterable[str],
    author: str,
    created: datetime,
    expires: datetime | None = None,
    hides_expected: bool = False,
    owner: str | None = None,
) -> tuple[Key, str]:
    """Make a key and its token; the token exists nowhere else and cannot be found again.

    Raises InvalidRequest for unknown or no roles, a very long name, and an expiry that is past.
    """
    unknown = sorted(set(roles) - set(Role))
    if unknown or not roles:
        raise InvalidRequest("roles", f"Choose at least one role of: {', '.join(Role)}.")
    if len(name) > _LONGEST_NAME:
        raise InvalidRequest("name", f"A key's name has at most {_LONGEST_NAME} characters.")
    if expires is not None and expires <= created:
        raise InvalidRequest("expires", "The key would have expired already.")
    token = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(
        id=f"key-{secrets.token_hex(6)}",
        name=name,
        digest=_digest(token),
        roles=tuple(sorted(set(roles))),
        author=author,
        created=created,
        expires=expires,
        revoked=None,
        hides_expected=hides_expected,
        owner=owner,
    )
    return key, token


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
