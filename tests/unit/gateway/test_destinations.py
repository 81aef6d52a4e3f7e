"""Where messages may go, and who may know how they are signed."""

import stat
from pathlib import Path

import pytest

from gateway.notifications.addresses import check_address
from gateway.notifications.destinations import (
    NewDestination,
    close_destination,
    open_destination,
)
from gateway.notifications.secrets import SecretMissing, Secrets, read_key
from registry.entry import decode_record
from registry.errors import DestinationExists, InvalidRequest, StoreUnavailable
from registry.events import Form
from registry.registry import Registry
from tests.builders import AUTHOR

SLACK = "https://hooks.slack.example/services/T0/B0/token"


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "destinations")


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example",
        "https://receiver.example:8443/a/b?c=d",
        "https://10.0.0.1/",
        "http://127.0.0.1:9000/",
        "http://127.7.7.7/",
        "http://[::1]:9000/",
        "http://localhost/x",
    ],
)
def test_an_address_has_https_or_is_on_this_machine(url: str) -> None:
    check_address(url, allow_plain=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost.evil.example/",
        "http://0x7f.1/",
        "http://0.0.0.0/",
    ],
)
def test_http_to_another_machine_has_to_be_allowed(url: str) -> None:
    with pytest.raises(InvalidRequest, match="https"):
        check_address(url, allow_plain=False)
    check_address(url, allow_plain=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "receiver.example",
        "//receiver.example/",
        "ftp://receiver.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "unix:///run/docker.sock",
        "https://",
        "https:///path",
        "https://user:secret@receiver.example/",
        "https://user@receiver.example/",
        "https://receiver.example/#x",
        "https://receiver.example:99999/",
        "https://receiver.example:x/",
        "https://[::1/",
        "https://receiver.example/ x",
        "https://receiver.example/\r\nHost: other",
        "https://rëceiver.example/",
        "https://receiver.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        check_address(url, allow_plain=True)


def test_a_secret_is_in_a_file_that_only_its_owner_reads(
    registry: Registry, secrets: Secrets, tmp_path: Path
) -> None:
    wanted = NewDestination(name="ops", url="https://receiver.example/")
    destination, key = open_destination(registry, secrets, wanted, AUTHOR)

    assert key is not None
    [file] = (tmp_path / "destinations").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert secrets.read(destination.secret) == key
    assert len(read_key(key)) == 32

    close_destination(registry, secrets, "ops", AUTHOR)
    assert list((tmp_path / "destinations").iterdir()) == []


@pytest.mark.parametrize("form", list(Form))
def test_no_secret_is_in_the_store(
    registry: Registry, secrets: Secrets, tmp_path: Path, form: Form
) -> None:
    wanted = NewDestination(name="ops", url=SLACK, form=form)
    destination, key = open_destination(registry, secrets, wanted, AUTHOR)

    needle = "B0/token" if form is Form.SLACK else (key or "").removeprefix("whsec_")
    assert needle in secrets.read(destination.secret)
    for path in tmp_path.glob("store.sqlite3*"):
        assert needle.encode() not in path.read_bytes()
    size = registry.store.tree_size()
    [leaf] = registry.store.leaves(size - 1, size)
    assert "https://hooks.slack.example/" in (decode_record(leaf).reason or "")


def test_a_destination_that_cannot_be_made_leaves_no_secret(
    registry: Registry, secrets: Secrets, tmp_path: Path
) -> None:
    wanted = NewDestination(name="ops", url="https://receiver.example/")
    _, key = open_destination(registry, secrets, wanted, AUTHOR)
    with pytest.raises(DestinationExists):
        open_destination(registry, secrets, wanted, AUTHOR)
    with pytest.raises(InvalidRequest):
        open_destination(
            registry, secrets, NewDestination(name="x", url="http://other.example/"), AUTHOR
        )

    [file] = (tmp_path / "destinations").iterdir()
    assert file.read_text() == key


def test_a_secret_that_is_damaged_or_gone_is_missing(secrets: Secrets, tmp_path: Path) -> None:
    with pytest.raises(SecretMissing):
        secrets.read("none")
    secrets.add("odd", "whsec_no base64")
    with pytest.raises(SecretMissing):
        read_key(secrets.read("odd"))
    (tmp_path / "destinations" / "bytes").write_bytes(b"\xff")
    with pytest.raises(SecretMissing):
        secrets.read("bytes")
    secrets.remove("none")


def test_a_secret_that_cannot_be_kept_makes_no_destination(
    registry: Registry, secrets: Secrets, tmp_path: Path
) -> None:
    (tmp_path / "destinations").write_text("a file in its place")
    with pytest.raises(StoreUnavailable):
        open_destination(
            registry, secrets, NewDestination(name="ops", url="https://r.example/"), AUTHOR
        )
    assert registry.store.destinations() == []
