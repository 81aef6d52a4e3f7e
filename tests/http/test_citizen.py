"""The server as a citizen of HTTP/1.1: whatever is allowed on a connection is answered in order."""

import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.builders import PATIENCE_S
from tests.http.hostile import FINE, KEY, head, post
from tests.http.wire import Wire
from tests.http.world import BODY_LIMIT, TRANSPORTS, World, publish_linear, serve_world

INFER = b"/v2/models/linear/infer"
CHUNKED = b"transfer-encoding: chunked"
SEEDS = range(12)


class Sent(Struct, frozen=True):
    """A request, and what its answer must be: the status and a part of the body."""

    raw: bytes
    status: int = 200
    part: bytes = b""
    has_body: bool = True


def with_id(number: int) -> bytes:
    return FINE.replace(b'"inputs"', b'"id":"call %d","inputs"' % number)


def in_chunks(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def some_request(choice: random.Random, number: int) -> Sent:
    """Choose a request: hot or cold, good or bad, with one or the other framing."""
    body, part = with_id(number), b'"id":"call %d"' % number
    return choice.choice(
        [
            Sent(post(body), 200, part),
            Sent(post(body), 200, part),
            Sent(post(body, path=b"/v2/models/linear/versions/1/infer"), 200, part),
            Sent(post(body, path=b"/v2/models/l%69near/infer?a=b"), 200, part),
            Sent(post(body, path=b"http://other:80" + INFER), 200, part),
            Sent(post(body).replace(b"content-length", b"Content-LENGTH"), 200, part),
            Sent(post(body).replace(b"authorization", b"x-other"), 401, b"unauthenticated"),
            Sent(post(body[:-1]), 400, b"malformed-json"),
            Sent(post(body, path=b"/v2/models/nothing/infer"), 404, b"not-found"),
            Sent(head(INFER, CHUNKED) + in_chunks(body, choice.randint(1, 40)), 200, part),
            Sent(head(INFER, method=b"GET"), 405, b"method-not-allowed"),
            Sent(head(INFER, method=b"HEAD"), 405, has_body=False),
            Sent(head(b"/v2/health/live", method=b"GET"), 200, b'{"live":true}'),
            Sent(head(b"/v2/models/linear", method=b"GET"), 200, b'"onnx_onnxv1"'),
            Sent(head(b"/nothing", method=b"GET"), 404, b"not-found"),
            Sent(post(b"{}", b"content-type: application/json", path=b"/admin/keys"), 400),
        ]
    )


def cut(choice: random.Random, data: bytes, most: int) -> Iterator[bytes]:
    while data:
        size = choice.randint(1, most)
        yield data[:size]
        data = data[size:]


def check_answers(wire: Wire, sent: list[Sent]) -> None:
    for request in sent:
        answer = wire.read(has_body=request.has_body)
        assert answer.status == request.status, (request, answer)
        assert request.part in answer.body, (request, answer)
    wire.check_alive()


def fill(wire: Wire, sent: list[Sent]) -> bytes:
    return b"".join(request.raw for request in sent).replace(KEY, wire.token.encode())


@pytest.mark.parametrize("seed", SEEDS)
def test_requests_of_every_kind_are_answered_in_order_however_they_are_cut(
    world: World, seed: int
) -> None:
    choice = random.Random(seed)
    sent = [some_request(choice, number) for number in range(40)]

    with Wire(world) as wire:
        wire.send_parts(cut(choice, fill(wire, sent), choice.choice([3, 50, 500, 5000])))
        check_answers(wire, sent)


def test_requests_cut_into_single_bytes_are_answered(world: World) -> None:
    choice = random.Random(1)
    sent = [some_request(choice, number) for number in range(10)]

    with Wire(world) as wire:
        wire.send_parts(cut(choice, fill(wire, sent), 1))
        check_answers(wire, sent)


def test_many_requests_in_one_segment_are_answered_in_order(world: World) -> None:
    sent = [Sent(post(with_id(n)), 200, b'"id":"call %d"' % n) for n in range(200)]

    with Wire(world) as wire:
        wire.send(fill(wire, sent))
        check_answers(wire, sent)


def test_hot_and_cold_routes_take_turns_on_one_connection(world: World) -> None:
    cold = Sent(head(b"/v2/models/linear", method=b"GET"), 200, b'"onnx_onnxv1"')
    sent = [
        request
        for n in range(20)
        for request in (Sent(post(with_id(n)), 200, b'"id":"call %d"' % n), cold)
    ]

    with Wire(world) as wire:
        wire.send(fill(wire, sent))
        check_answers(wire, sent)


def test_the_same_head_again_comes_with_a_body_of_its_own(world: World) -> None:
    numbers = [Sent(post(with_id(n)), 200, b'"id":"call %d"' % n) for n in range(10, 60)]
    wrong = Sent(post(with_id(99)[:-1] + b"?"), 400, b"malformed-json")
    sent = [request for good in numbers for request in (good, wrong)]

    with Wire(world) as wire:
        for request in sent:
            wire.send(fill(wire, [request]))
            check_answers(wire, [request])


def test_connection_close_is_obeyed(world: World) -> None:
    with Wire(world) as wire:
        wire.post(INFER, FINE, b"connection: close")
        wire.send(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = wire.read()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.is_closed()


@pytest.mark.parametrize("line", [b"POST " + INFER, b"GET /v2/health/live"])
def test_http_1_0_is_answered_and_closed(world: World, line: bytes) -> None:
    with Wire(world) as wire:
        body = FINE if line.startswith(b"POST") else b""
        wire.send(line + b" HTTP/1.0\r\n" + wire.key + b"content-length: %d\r\n\r\n" % len(body))
        wire.send(body)
        assert wire.read().status == 200
        assert wire.is_closed()


def test_a_caller_that_expects_to_be_told_is_told_to_go_on(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, b"content-length: %d" % len(FINE), b"expect: 100-continue")
        assert wire.read().status == 100
        wire.send(FINE)
        assert wire.read().status == 200
        wire.check_alive()


def test_a_caller_that_expects_to_be_told_is_told_at_once_of_a_refusal(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER, b"content-length: %d" % (BODY_LIMIT + 1), b"expect: 100-continue")
        assert wire.read().status == 413


def test_a_caller_that_does_not_wait_to_be_told_is_answered(world: World) -> None:
    with Wire(world) as wire:
        wire.post(INFER, FINE, b"expect: 100-continue")
        answer = wire.read()
        if answer.status == 100:
            answer = wire.read()
        assert answer.status == 200
        wire.check_alive()


def test_a_head_gets_no_body(world: World) -> None:
    sent = [
        Sent(head(path, method=b"HEAD"), 405, has_body=False)
        for path in (INFER, b"/v2/health/live", b"/v2/models")
    ]

    with Wire(world) as wire:
        wire.send(fill(wire, sent))
        check_answers(wire, sent)


@pytest.mark.parametrize(
    "target",
    [b"http://x" + INFER, b"HTTP://other.example:8080" + INFER, INFER + b"?a=%00&b", INFER + b"?"],
)
def test_a_target_may_be_absolute_or_have_a_query(world: World, target: bytes) -> None:
    with Wire(world) as wire:
        wire.post(target, FINE)
        assert wire.read().status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/v2/models/%6c%69near/infer", 200),
        (b"/%76%32/models/linear/versions/%31/infer", 200),
        (b"/v2/models/linear/inf%65r", 200),
        (b"/v2/models/linear%2Finfer", 200),
        (b"/v2/models/linear%252Finfer", 405),  # a model of that name, whose metadata is read
        (b"//v2/models/linear/infer", 404),
    ],
)
def test_a_path_may_be_percent_encoded(world: World, path: bytes, status: int) -> None:
    with Wire(world) as wire:
        wire.post(path, FINE)
        assert wire.read().status == status
        wire.check_alive()


def test_a_caller_may_ask_for_another_protocol_and_gets_this_one(world: World) -> None:
    with Wire(world) as wire:
        wire.send(
            b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n"
            b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
        )
        assert wire.read().status == 200


def test_blank_lines_before_a_request_are_passed_over(world: World) -> None:
    with Wire(world) as wire:
        for _ in range(2):
            wire.send(b"\r\n\r\n")
            wire.post(INFER, FINE)
            assert wire.read().status == 200


def test_a_post_without_a_length_has_no_body(world: World) -> None:
    with Wire(world) as wire:
        wire.begin(INFER)
        answer = wire.read()
        assert (answer.status, b"empty-body" in answer.body) == (400, True)
        wire.check_alive()


@pytest.fixture(params=TRANSPORTS)
def ending(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A gateway of its own, for a test that stops it."""
    # A body may wait for as long as it takes until nobody listens.
    options = (*TRANSPORTS[request.param], "--body-deadline", str(PATIENCE_S))
    with serve_world(tmp_path, publish_linear(tmp_path), *options) as world:
        yield world


@pytest.mark.parametrize("path", [INFER, b"/admin/models/linear/rollback"])
def test_a_request_under_way_is_answered_when_the_gateway_is_told_to_stop(
    ending: World, path: bytes
) -> None:
    with Wire(ending) as wire, Wire(ending) as idle:
        idle.check_alive()
        length = b"content-length: %d" % len(FINE)
        wire.begin(path, length, b"content-type: application/json", b"expect: 100-continue")
        assert wire.read().status == 100

        os.kill(ending.gateway.process.pid, signal.SIGTERM)
        assert idle.is_closed()
        wait_until_refused(ending)
        wire.send(FINE)

        answer = wire.read()
        assert answer.status == (200 if path == INFER else 400)
        assert answer.headers["connection"] == "close"
        assert wire.is_closed()
    assert ending.gateway.process.wait(PATIENCE_S) == 0


def wait_until_refused(world: World) -> None:
    """Connect until nobody listens; whoever got in before that is closed without an answer."""
    host, port = world.gateway.url.removeprefix("http://").split(":")
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=10) as late:
                assert late.recv(1) == b""
        except OSError:
            return
