"""Requests whose framing is wrong, late or cut off: each is refused, and no answer is misplaced."""

import pytest

from tests.http.hostile import FINE
from tests.http.wire import Wire
from tests.http.world import (
    BODY_LIMIT,
    PROBLEM_TYPE,
    PROTOCOL_TYPE,
    World,
    check_problem_body,
    unforeseen,
)

INFER = b"/v2/models/linear/infer"
CHUNKED = b"transfer-encoding: chunked"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture(autouse=True)
def _alive(world: World) -> None:
    """Before each test, and so after the one before it, the gateway answers."""
    with Wire(world) as wire:
        wire.check_alive()


def test_a_length_over_the_limit_is_refused_before_the_body_comes(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, b"content-length: %d" % (BODY_LIMIT + 1))
        answer = wire.read()

    check_problem_body(413, answer.content_type, answer.body, PROTOCOL_TYPE, "body-too-large")


def test_chunks_over_the_limit_are_refused_and_the_connection_goes_on(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, CHUNKED)
        for _ in range(BODY_LIMIT // 65_536 + 1):
            wire.send(chunk(b" " * 65_536))
        answer = wire.read()
        check_problem_body(413, answer.content_type, answer.body, PROTOCOL_TYPE, "body-too-large")
        wire.send(chunk(b""))
        wire.check_alive()


def test_chunks_of_one_byte_are_one_body(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, CHUNKED)
        wire.send(b"".join(chunk(bytes([byte])) for byte in FINE) + chunk(b""))
        assert wire.read().status == 200
        wire.check_alive()


def test_a_body_that_does_not_come_is_given_up(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, b"content-length: 100")
        wire.send(b"{")
        answer = wire.read()
        check_problem_body(408, answer.content_type, answer.body, PROTOCOL_TYPE, "request-timeout")
        assert wire.is_closed()


ADMIN_POSTS = [b"/admin/keys", b"/admin/models/linear/promotions", b"/admin/models/x/versions"]


@pytest.mark.parametrize("path", ADMIN_POSTS)
def test_an_admin_body_that_does_not_come_is_given_up(world: World, path: bytes) -> None:
    form = b"multipart/form-data; boundary=b" if path.endswith(b"versions") else b"application/json"
    with Wire(world) as wire:
        wire.begin(path, b"content-length: 100", b"content-type: " + form)
        wire.send(b"{")
        answer = wire.read()
        check_problem_body(408, answer.content_type, answer.body, PROBLEM_TYPE, "request-timeout")
        assert wire.is_closed()


@pytest.mark.parametrize("path", [INFER, *ADMIN_POSTS])
def test_a_caller_that_leaves_harms_nobody(world: World, path: bytes) -> None:
    form = b"multipart/form-data; boundary=b" if path.endswith(b"versions") else b"application/json"
    with Wire(world) as wire:
        wire.begin(path, b"content-length: 100", b"content-type: " + form)
        wire.send(b"{")


def test_nothing_on_the_wire_was_unforeseen(world: World) -> None:
    assert unforeseen(world.gateway) == []


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    bodies = [FINE.replace(b'"inputs"', b'"id":"%d","inputs"' % n) for n in range(5)]
    with Wire(world) as wire:
        for body in bodies:
            wire.post(INFER, body)
        answers = [wire.read() for _ in bodies]

    for n, answer in enumerate(answers):
        assert answer.status == 200
        assert b'"id":"%d"' % n in answer.body


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nabc\r\n", b"-5\r\nabc\r\n", b"fffffffffffffffff\r\n", b"3\r\nabcdef\r\n0\r\n\r\n"],
)
def test_a_malformed_chunk_ends_the_connection(world: World, chunks: bytes) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, CHUNKED)
        wire.send(chunks)
        answer = wire.read()
        assert answer.status == 400
        assert wire.is_closed()


@pytest.mark.parametrize(
    "headers",
    [
        (b"content-length: 3", b"content-length: 5"),
        (b"content-length: 3", CHUNKED),
        (b"content-length: -1",),
        (b"content-length: abc",),
        (b"content-length: 99999999999999999999999",),
        (b"transfer-encoding : chunked",),
        (b"transfer-encoding: xchunked",),
        (b"bad header",),
    ],
    ids=lambda headers: b" ".join(headers).decode(),
)
def test_ambiguous_framing_is_refused(world: World, headers: tuple[bytes, ...]) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, *headers)
        wire.send(b"0\r\n\r\n" + b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = wire.read()
        assert answer.status == 400
        assert b"Traceback" not in answer.body
        # What was smuggled behind it is not answered.
        assert wire.is_closed()


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"hello\r\n\r\n", b"\x00" * 100]
)
def test_what_is_not_http_is_refused(world: World, start: bytes) -> None:
    with Wire(world) as wire:
        wire.send(start)
        assert wire.read().status == 400


def test_600_headers_harm_nobody(world: World) -> None:
    headers = [b"x-%d: %s" % (n, b"y" * 100) for n in range(600)]
    with Wire(world) as wire:
        wire.post(INFER, FINE, *headers)
        assert wire.read().status in (200, 431)


@pytest.mark.parametrize("host", [b"[", b"", b"a b", b"x" * 5000])
def test_a_hostile_host_changes_nothing(world: World, host: bytes) -> None:
    with Wire(world) as wire:
        wire.send(b"GET /nothing HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
        assert wire.read().status in (400, 404)
