from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest

from gateway.security import Keyring, Role, make_key, read_credential
from registry.errors import InvalidRequest
from registry.workers import Key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
MOMENT = timedelta(microseconds=1)


def a_key(
    *, expires: datetime | None = None, roles: tuple[str, ...] = ("viewer",)
) -> tuple[Key, str]:
    return make_key(name="test", roles=roles, author="tests", created=NOW, expires=expires)


def credential(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def test_a_token_finds_its_key_and_no_other() -> None:
    (first, token), (second, _) = a_key(), a_key()

    assert Keyring([first, second]).find(credential(token), lambda: NOW) is first
    assert Keyring([second]).find(credential(token), lambda: NOW) is None


@pytest.mark.parametrize("change", ["", " ", "x", "\x00", "\udcff"])
def test_a_changed_token_finds_nothing(change: str) -> None:
    key, token = a_key()
    keyring = Keyring([key])

    for wrong in (token + change + "x", change + "x" + token, token[:-1] + change, token.upper()):
        assert keyring.find(credential(wrong), lambda: NOW) is None


def test_a_key_ends_at_its_expiry_to_the_microsecond() -> None:
    key, token = a_key(expires=LATER)

    assert Keyring([key]).find(credential(token), lambda: LATER - MOMENT) is key
    assert Keyring([key]).find(credential(token), lambda: LATER) is None


def test_a_revoked_key_is_not_found() -> None:
    key, token = a_key()

    revoked = msgspec.structs.replace(key, revoked=NOW)
    assert Keyring([revoked]).find(credential(token), lambda: NOW) is None


def test_a_key_does_not_hold_its_token() -> None:
    key, token = a_key()

    assert token not in repr(key)
    assert token.removeprefix("gw_").encode() not in key.digest
    assert len(token) > 40


def test_tokens_and_ids_do_not_repeat() -> None:
    keys = [a_key() for _ in range(100)]

    assert len({token for _, token in keys}) == len({key.id for key, _ in keys}) == 100


def test_roles_are_kept_once_and_sorted() -> None:
    key, _ = a_key(roles=("viewer", "admin", "viewer"))

    assert key.roles == ("admin", "viewer")


@pytest.mark.parametrize("roles", [(), ("root",), ("viewer", "root"), ("Viewer",), ("",)])
def test_unknown_or_no_roles_are_refused(roles: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="Choose at least one role"):
        a_key(roles=roles)


def test_an_expiry_that_is_past_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="expired already"):
        a_key(expires=NOW)


def test_a_long_name_is_refused() -> None:
    make_key(name="x" * 200, roles=["viewer"], author="tests", created=NOW)
    with pytest.raises(InvalidRequest, match="200 characters"):
        make_key(name="x" * 201, roles=["viewer"], author="tests", created=NOW)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer gw_abc", "gw_abc"),
        ("bearer gw_abc", "gw_abc"),
        ("BEARER   gw_abc  ", "gw_abc"),
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer  ", None),
        ("Basic gw_abc", None),
        ("gw_abc", None),
        ("Bearergw_abc", None),
    ],
)
def test_a_token_follows_the_word_bearer(header: str | None, token: str | None) -> None:
    assert read_credential(header) == (None if token is None else credential(token))


def test_every_role_has_a_meaning_of_its_own() -> None:
    assert len(set(Role)) == 8
