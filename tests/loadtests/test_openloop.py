"""The open loop: requests have their times before any is sent, and latency counts from there."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from loadtests import openloop
from loadtests.errors import LoadTestError
from loadtests.openloop import Plan, schedule
from loadtests.shot import Question, Shot
from tests.loadtests.builders import open_result

STALL_S = 0.5
RIGHT = b"[0.25,0.75]"


@contextmanager
def tiny_server(answer: Callable[[int], tuple[int, bytes]]) -> Iterator[int]:
    """Run a server on one thread; `answer` says status and body of its nth request."""
    loop = asyncio.new_event_loop()
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(14)
                count += 1
                status, body = answer(count)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def plan(port: int, *, connections: int = 4) -> Plan:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\n\r\n<"
    return Plan(
        host="127.0.0.1",
        port=port,
        shot=Shot(Question(head, b">"), RIGHT),
        per_second=200,
        seconds=2,
        connections=connections,
    )


def test_a_stall_counts_for_every_request_that_was_due_meanwhile() -> None:
    def stall_once(number: int) -> tuple[int, bytes]:
        if number == 100:
            time.sleep(STALL_S)  # of the whole server, as a pause of its collector would be
        return 200, RIGHT

    with tiny_server(stall_once) as port:
        found = openloop.run(plan(port))
    found.check()
    # About a hundred of four hundred requests were due in that half second. Four of them were under
    # way; a client that waits for answers would have met four slow ones, and a p90 without it.
    assert found.answers == len(schedule(200, 2, 0))
    assert found.max_us >= STALL_S * 0.95e6
    assert found.p90_us > STALL_S * 0.3e6
    assert not found.kept_rate


def test_with_connections_to_spare_requests_leave_while_the_server_stalls() -> None:
    def stall_once(number: int) -> tuple[int, bytes]:
        if number == 100:
            time.sleep(STALL_S)
        return 200, RIGHT

    with tiny_server(stall_once) as port:
        found = openloop.run(plan(port, connections=200))
    found.check()
    assert found.p90_us > STALL_S * 0.3e6
    # Those that waited for a connection would be nearly as late as their answers.
    assert found.late_p99_us < found.max_us / 2


@pytest.mark.parametrize(
    ("status", "body", "match"), [(503, RIGHT, "no 200"), (200, b"[0.5,0.5]", "wrong")]
)
def test_wrong_answers_are_noticed(status: int, body: bytes, match: str) -> None:
    with tiny_server(lambda _: (status, body)) as port:
        found = openloop.run(plan(port))
    with pytest.raises(LoadTestError, match=match):
        found.check()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with tiny_server(lambda _: (200, RIGHT)) as port:
        pass
    with pytest.raises(LoadTestError, match="open loop ended"):
        openloop.run(plan(port))


def test_a_schedule_is_repeated_by_its_seed_and_has_its_rate() -> None:
    times = schedule(5000, 4, seed=3)
    assert times == schedule(5000, 4, seed=3)
    assert times != schedule(5000, 4, seed=4)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert times == sorted(times)
    assert times[-1] < 4
    # The gaps of a Poisson process are as far from their mean as that mean is from nothing.
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_requests_that_leave_late_or_never_spoil_the_rate() -> None:
    assert open_result().kept_rate
    assert not open_result(late_p99_us=5_001).kept_rate
    assert not open_result(unanswered=1).kept_rate
