"""What the protocol class holds every connection to, beyond what uvicorn does by itself.

Heads have limits, and heads, bodies and silence have deadlines, which are short here. A caller that
does not read is not read from, and one that leaves leaves nothing behind.
"""

import time
from collections.abc import Iterator

import pytest

from tests.http.hostile import FINE, KEY, Hostile, head, make_body, make_input, post
from tests.http.hostile_framing import HEADS, SILENT, SLOW_BODIES, SLOW_HEADS
from tests.http.test_citizen import INFER, with_id
from tests.http.test_hostile_rows import name_of, play
from tests.http.wire import Wire
from tests.http.world import BODY_LIMIT, World, publish_linear, serve_world, unforeseen

HEADER_DEADLINE_S = 1.0
BODY_DEADLINE_S = 1.0  # of every world
IDLE_DEADLINE_S = 1.5
# Deadlines are looked at now and then, and machines are busy.
SLACK_S = 1.5
MOST_SENT_BYTES = 48 << 20
MOST_GROWTH_BYTES = 8 << 20
ROUNDS = 100


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway with short deadlines."""
    folder = tmp_path_factory.mktemp("strict")
    deadlines = (
        "--header-deadline", str(HEADER_DEADLINE_S), "--idle-deadline", str(IDLE_DEADLINE_S),
    )  # fmt: skip
    with serve_world(folder, publish_linear(folder), *deadlines) as world:
        yield world


@pytest.mark.parametrize("hostile", HEADS, ids=name_of)
def test_a_head_without_measure_or_host_is_refused(strict: World, hostile: Hostile) -> None:
    play(strict, hostile)

    with Wire(strict) as wire:
        wire.check_alive()
    assert unforeseen(strict.gateway) == []


def test_a_head_of_just_the_limits_is_read(strict: World) -> None:
    for headers in ([b"x-%d: y" % n for n in range(97)], [b"x-a: " + b"y" * 60_000]):
        with Wire(strict) as wire:
            wire.post(INFER, FINE, *headers)
            assert wire.read().status == 200
            wire.check_alive()


@pytest.mark.parametrize("size", [100, 1000, 20_000])
def test_a_large_head_is_read_in_whatever_parts_it_comes(strict: World, size: int) -> None:
    request = post(FINE, b"x-a: " + b"y" * 30_000, b"x-b: " + b"y" * 30_000)
    with Wire(strict) as wire:
        data = request.replace(KEY, wire.token.encode())
        wire.send_parts(data[at : at + size] for at in range(0, len(data), size))
        assert wire.read().status == 200
        # The head but for its last line; then that, with a body that is larger than heads may be.
        large = post(FINE + b" " * 100_000, b"x-a: " + b"y" * 60_000)
        start, _, rest = large.replace(KEY, wire.token.encode()).partition(b"\r\n\r\n")
        wire.send_parts([start + b"\r\n", b"\r\n" + rest])
        assert wire.read().status == 200
        wire.check_alive()


def test_http_1_0_needs_no_host(strict: World) -> None:
    with Wire(strict) as wire:
        wire.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
        assert wire.read().status == 200


@pytest.mark.parametrize(
    ("hostile", "deadline_s"),
    [
        *((hostile, HEADER_DEADLINE_S) for hostile in SLOW_HEADS),
        *((hostile, BODY_DEADLINE_S) for hostile in SLOW_BODIES),
        *((hostile, IDLE_DEADLINE_S) for hostile in SILENT),
    ],
    ids=lambda value: value.name if isinstance(value, Hostile) else "",
)
def test_who_makes_others_wait_is_given_up_in_time(
    strict: World, hostile: Hostile, deadline_s: float
) -> None:
    started = time.monotonic()

    play(strict, hostile)

    most_s = deadline_s + SLACK_S + strict.gateway.started_s
    assert deadline_s - 0.2 <= time.monotonic() - started <= most_s
    assert unforeseen(strict.gateway) == []


def test_a_deadline_holds_for_a_later_head_too(strict: World) -> None:
    with Wire(strict) as wire:
        wire.check_alive()
        wire.post(INFER, FINE)
        assert wire.read().status == 200
        wire.send(b"POST ")
        assert wire.read().status == 408
        assert wire.is_closed()


def test_a_body_that_was_refused_is_not_read_for_ever(strict: World) -> None:
    chunks = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with Wire(strict) as wire:
        wire.begin(INFER, b"transfer-encoding: chunked")
        for _ in range(BODY_LIMIT // 65_536 + 1):
            wire.send(chunks)
        assert wire.read().status == 413
        started = time.monotonic()
        assert wire.is_closed()

    most_s = BODY_DEADLINE_S + IDLE_DEADLINE_S + SLACK_S + strict.gateway.started_s
    assert time.monotonic() - started <= most_s


def test_many_requests_ahead_are_neither_cut_off_nor_taken_for_one(strict: World) -> None:
    with Wire(strict) as wire:
        for n in range(2000):
            wire.post(INFER, with_id(n))
        for n in range(2000):
            assert b'"id":"call %d"' % n in wire.read().body


def ask_a_hundred_times(world: World) -> float:
    """Ask over a new connection, and return how many seconds that took."""
    with Wire(world) as wire:
        started = time.monotonic()
        for n in range(100):
            wire.post(INFER, with_id(n))
            assert wire.read().status == 200
        return time.monotonic() - started


def test_a_thousand_slow_connections_slow_nobody(strict: World) -> None:
    alone_s = ask_a_hundred_times(strict)
    slow = [Wire(strict) for _ in range(1000)]
    for n, wire in enumerate(slow):
        wire.send((b"", b"POST /v2/mod", head(INFER, b"content-length: 9"))[n % 3])

    took_s = ask_a_hundred_times(strict)
    for wire in slow:
        while not wire.is_closed():
            pass
        wire.close()

    assert took_s < 5 * (1 + alone_s)
    assert unforeseen(strict.gateway) == []


def test_a_caller_that_never_reads_is_not_read_from(strict: World) -> None:
    with Wire(strict, buffer_bytes=1 << 18) as wire:
        rows = make_input(shape=[500, 3], data=[1.5] * 1500)
        request = post(make_body(rows)).replace(KEY, wire.token.encode())
        play_round(strict)
        before = strict.memory_bytes()

        taken = wire.send_all_but_read(request * (MOST_SENT_BYTES // len(request)))

        assert taken < MOST_SENT_BYTES // 2
        assert strict.memory_bytes() - before <= MOST_GROWTH_BYTES
        with Wire(strict) as other:
            other.check_alive()
        # Once it reads, it gets every answer.
        for _ in range(taken // len(request)):
            assert wire.read().status == 200


@pytest.mark.parametrize("kinds", ["hot", "cold", "both"])
def test_a_caller_that_leaves_before_its_answers_harms_nobody(strict: World, kinds: str) -> None:
    hot, cold = post(FINE), head(b"/v2/models/linear", method=b"GET")
    requests = {"hot": hot * 10, "cold": cold * 10, "both": (cold + hot) * 5}[kinds]
    for _ in range(50):
        with Wire(strict) as wire:
            wire.send(requests.replace(KEY, wire.token.encode()))

    with Wire(strict) as wire:
        wire.check_alive()
    assert unforeseen(strict.gateway) == []


def test_a_caller_that_has_said_all_still_gets_its_answers(strict: World) -> None:
    with Wire(strict) as wire:
        for n in range(3):
            wire.post(INFER, with_id(n))
        wire.end_sending()
        for n in range(3):
            assert b'"id":"call %d"' % n in wire.read().body
        assert wire.is_closed()


def test_a_hundred_rounds_leave_no_memory_behind(strict: World) -> None:
    play_round(strict)
    before = strict.memory_bytes()

    for _ in range(ROUNDS):
        play_round(strict)
    slow = [(Wire(strict), each) for each in (*SLOW_HEADS, *SILENT) for _ in range(ROUNDS)]
    for wire, hostile in slow:
        wire.send(hostile.to_bytes(wire.token))
    for wire, _ in slow:
        while not wire.is_closed():
            pass
        wire.close()

    assert strict.memory_bytes() - before <= MOST_GROWTH_BYTES
    assert unforeseen(strict.gateway) == []


def play_round(world: World) -> None:
    for hostile in HEADS:
        play(world, hostile)
