"""Callers that stop, leave, or write what no address and no host is: others do not notice."""

import httpx
import pytest

from tests.http.hostile import FINE, Hostile, head
from tests.http.hostile_forms import NAMES
from tests.http.wire import Wire
from tests.http.world import (
    BODY_LIMIT,
    PROBLEM_TYPE,
    World,
    check_alive,
    check_problem,
    check_problem_body,
    unforeseen,
)

INFER = b"/v2/models/linear/infer"
ADMIN_POSTS = [b"/admin/keys", b"/admin/models/linear/promotions", b"/admin/models/x/versions"]


@pytest.fixture(autouse=True)
def _alive(world: World) -> None:
    """Before each test, and so after the one before it, the gateway answers."""
    with Wire(world) as wire:
        wire.check_alive()


def begin_body(wire: Wire, path: bytes) -> None:
    form = b"multipart/form-data; boundary=b" if path.endswith(b"versions") else b"application/json"
    wire.begin(path, b"content-length: 100", b"content-type: " + form)
    wire.send(b"{")


@pytest.mark.parametrize("path", ADMIN_POSTS)
def test_an_admin_body_that_does_not_come_is_given_up(world: World, path: bytes) -> None:
    with Wire(world) as wire:
        begin_body(wire, path)
        answer = wire.read()
        check_problem_body(408, answer.content_type, answer.body, PROBLEM_TYPE, "request-timeout")
        assert wire.is_closed()


@pytest.mark.parametrize("path", [INFER, *ADMIN_POSTS])
def test_a_caller_that_leaves_harms_nobody(world: World, path: bytes) -> None:
    with Wire(world) as wire:
        begin_body(wire, path)


def test_a_body_of_exactly_the_limit_is_looked_at(client: httpx.Client) -> None:
    answer = client.post("/v2/models/linear/infer", content=b" " * BODY_LIMIT)
    check_problem(answer, 400, "empty-body")

    answer = client.post("/v2/models/linear/infer", content=b" " * (BODY_LIMIT + 1))
    check_problem(answer, 413, "body-too-large")
    check_alive(client)


@pytest.mark.parametrize("hostile", [n for n in NAMES if n.row == 23], ids=lambda n: n.name)
def test_metadata_of_a_hostile_version_is_not_found(world: World, hostile: Hostile) -> None:
    path = hostile.raw.split(b" ")[1].removesuffix(b"/infer")
    with Wire(world) as wire:
        wire.begin(path, method=b"GET")
        assert wire.read().status == 404
        wire.check_alive()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"caf\xc3\xa9"])
def test_bytes_that_no_address_has_are_refused(world: World, name: bytes) -> None:
    with Wire(world) as wire:
        wire.post(b"/v2/models/%s/infer" % name, FINE)
        assert wire.read().status in (400, 404)


@pytest.mark.parametrize("host", [b"[", b"", b"a b", b"x" * 5000])
def test_a_hostile_host_changes_nothing(world: World, host: bytes) -> None:
    with Wire(world) as wire:
        wire.send(head(b"/nothing", method=b"GET").replace(b"host: x", b"host: " + host))
        assert wire.read().status in (400, 404)


def test_nothing_on_the_wire_was_unforeseen(world: World) -> None:
    assert unforeseen(world.gateway) == []
