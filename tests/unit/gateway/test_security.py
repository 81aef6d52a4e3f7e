"""Keys: found by the digest of their secret, until they are revoked or expire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.security import Keyring, Role, bearer_token, make_key
from registry.errors import InvalidRequest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_key_is_found_by_its_token_alone() -> None:
    key, token = make_key(name="n", roles=[Role.VIEWER], author="a", created=NOON)
    _, other = make_key(name="n", roles=[Role.VIEWER], author="a", created=NOON)

    assert Keyring([key]).find(token, NOON) == key
    assert Keyring([key]).find(other, NOON) is None
    assert token.encode() not in key.digest


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    expires = NOON + timedelta(hours=1)
    key, token = make_key(name="n", roles=[Role.VIEWER], author="a", created=NOON, expires=expires)

    assert Keyring([key]).find(token, expires - timedelta(microseconds=1)) == key
    assert Keyring([key]).find(token, expires) is None
    assert Keyring([replace(key, revoked=NOON)]).find(token, NOON) is None


@pytest.mark.parametrize("roles", [[], ["root"], ["viewer", "root"]])
def test_a_key_needs_roles_that_exist(roles: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        make_key(name="n", roles=roles, author="a", created=NOON)


def test_a_key_that_would_have_expired_is_not_made() -> None:
    with pytest.raises(InvalidRequest):
        make_key(name="n", roles=["viewer"], author="a", created=NOON, expires=NOON)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("bearer abc", "abc"),
        ("Bearer  abc ", "abc"),
    ],
)
def test_a_token_is_read_from_a_bearer_header_only(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


@given(st.text())
def test_no_text_is_a_valid_token_by_chance(text: str) -> None:
    key, _ = make_key(name="n", roles=["viewer"], author="a", created=NOON)

    assert Keyring([key]).find(bearer_token(f"Bearer {text}") or "", NOON) is None


def test_a_key_with_a_very_long_name_is_not_made() -> None:
    make_key(name="x" * 200, roles=["viewer"], author="a", created=NOON)
    with pytest.raises(InvalidRequest, match="200 characters"):
        make_key(name="x" * 201, roles=["viewer"], author="a", created=NOON)
