"""Requests at a rate that the server does not set, each measured from when it was due.

A client that waits for an answer before it sends again spares a slow server the requests that it
would have met meanwhile, and its percentiles leave them out. Here each request has its time from a
seeded Poisson schedule before the first is sent; one that finds every connection taken waits, and
that counts as latency too. The generator turns without sleeping, on a core of its own, and tells
how late it sent.

    python -m loadtests.openloop < PLAN.json > RESULT.json
"""

import asyncio
import gc
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import httptools
import msgspec
import numpy as np
import uvloop
from msgspec import Struct
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.machine import pin
from loadtests.shot import Shot

CONNECTIONS = 128
LOOK_EVERY = 16
_PUNCTUAL_S = 0.005
_PATIENCE_S = 10.0


class Plan(Struct, frozen=True, kw_only=True):
    """What to send where, how often on average, and for how long."""

    host: str
    port: int
    shot: Shot
    per_second: float
    seconds: float
    connections: int = CONNECTIONS
    seed: int = 0


class OpenResult(Struct, frozen=True, kw_only=True):
    """One run. Latencies count from when a request was due, in microseconds.

    `late_p99_us` is how long after that it left. `admitted_p99_us` is of the answers that were 200,
    `refused_p99_us` of the others, and from when they left. `unanswered` never came back or never
    left, `refused` were no 200, `looked` is how many bodies were looked at, `wrong` how many of
    them held another answer, `broken` how many connections ended.
    """

    wanted_per_second: float
    answers: int
    per_second: float
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    late_p99_us: int
    admitted_p99_us: int
    refused_p99_us: int
    unanswered: int
    refused: int
    looked: int
    wrong: int
    broken: int

    @property
    def kept_rate(self) -> bool:
        """Whether requests left when they were due, but for one in a hundred."""
        return not self.unanswered and self.late_p99_us <= _PUNCTUAL_S * 1e6

    def check(self) -> None:
        """Raise LoadTestError unless every answer was right as far as it was looked at."""
        if self.refused or self.wrong or self.broken or not self.looked:
            raise LoadTestError(
                f"At {self.wanted_per_second:,.0f}/s {self.refused} of {self.answers} answers were "
                f"no 200, {self.wrong} of {self.looked} bodies wrong; {self.broken} connections "
                "broke."
            )


def schedule(per_second: float, seconds: float, seed: int) -> list[float]:
    """Return when requests are due, in seconds from the start: a Poisson process, at least one."""
    source = np.random.default_rng(seed)
    expected = int(per_second * seconds)
    gaps = source.exponential(1 / per_second, expected + 10 * int(expected**0.5) + 10)
    times = np.cumsum(gaps)
    within: list[float] = times[times < seconds].tolist()
    return within or [0.0]


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no such class

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        number, body = self._number, self._body
        self._number, self._body = -1, []
        self._generator.take(self, number, self._parser.get_status_code(), body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._generator.lose(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Generator:
    """Sends a plan's requests and keeps when each was due, left and was answered."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._due = schedule(plan.per_second, plan.seconds, plan.seed)
        self._left = [0.0] * len(self._due)
        self._answered = [float("nan")] * len(self._due)
        self._statuses = [0] * len(self._due)
        self._free: deque[_Connection] = deque()
        self._next = 0
        self._count = self._refused = self._looked = self._wrong = self._broken = 0
        self._start = 0.0

    async def run(self) -> OpenResult:
        """Send everything and return what came back."""
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        for _ in range(self._plan.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._plan.host, self._plan.port
            )
            self._free.append(connection)
        connections = list(self._free)
        self._start = time.perf_counter()
        loop.set_exception_handler(self._fail)
        loop.call_soon(self._turn, loop)
        await self._ended
        for connection in connections:
            connection.close()
        return self._result()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what is due as far as connections are free, then let answers come in."""
        due, free = self._due, self._free
        now = time.perf_counter() - self._start
        while self._next < len(due) and due[self._next] <= now and free:
            number = self._next
            self._next += 1
            request = self._plan.shot.question.numbered(number)
            self._left[number] = now = time.perf_counter() - self._start
            free.popleft().send(number, request)
        if self._count == len(due) or now > self._plan.seconds + _PATIENCE_S or self._broken:
            self._ended.set_result(None)
        else:
            loop.call_soon(self._turn, loop)

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self._ended.done():
            self._ended.set_exception(context.get("exception") or LoadTestError(str(context)))

    def take(
        self, connection: _Connection, number: int, status: int, body: Sequence[bytes]
    ) -> None:
        """Note an answer; its connection is free again."""
        self._answered[number] = time.perf_counter() - self._start
        self._statuses[number] = status
        self._free.append(connection)
        self._count += 1
        if status != 200:
            self._refused += 1
        elif number % LOOK_EVERY == 0:
            self._looked += 1
            self._wrong += self._plan.shot.piece not in b"".join(body)

    def lose(self, connection: _Connection) -> None:
        """Note that a connection ended, which before the end of the run none should."""
        if not self._ended.done():
            self._broken += 1

    def _result(self) -> OpenResult:
        due, left = np.array(self._due), np.array(self._left)
        answered = np.array(self._answered)
        has_left = np.arange(len(due)) < self._next
        has_answer = ~np.isnan(answered)
        is_admitted = np.array(self._statuses) == 200
        is_refused = has_answer & ~is_admitted
        latencies = (answered - due)[has_answer]
        lateness = (left - due)[has_left]
        # What never came back had waited until the end at least.
        missing = (time.perf_counter() - self._start) - due[~has_answer]
        p50, p90, p99, longest = _percentiles(np.concatenate([latencies, missing]))
        ended = float(np.max(answered, where=has_answer, initial=self._plan.seconds))
        return OpenResult(
            wanted_per_second=self._plan.per_second,
            answers=self._count,
            per_second=self._count / ended,
            p50_us=p50,
            p90_us=p90,
            p99_us=p99,
            max_us=longest,
            late_p99_us=_percentiles(lateness)[2],
            admitted_p99_us=_percentiles((answered - due)[is_admitted])[2],
            refused_p99_us=_percentiles((answered - left)[is_refused])[2],
            unanswered=len(due) - self._count,
            refused=self._refused,
            looked=self._looked,
            wrong=self._wrong,
            broken=self._broken,
        )


def _percentiles(seconds: NDArray[np.float64]) -> list[int]:
    """Return median, 90th and 99th percentile and maximum in microseconds; nothing has none."""
    if not seconds.size:
        return [0, 0, 0, 0]
    return [round(value * 1e6) for value in np.percentile(seconds, [50, 90, 99, 100])]


def run(plan: Plan, *, cores: Sequence[int] = ()) -> OpenResult:
    """Carry out a plan in a process of its own, held to cores. Raises LoadTestError."""
    ended = subprocess.run(
        [*pin(cores), sys.executable, "-m", "loadtests.openloop"],
        input=msgspec.json.encode(plan),
        capture_output=True,
        check=False,
        timeout=plan.seconds + 2 * _PATIENCE_S,
    )
    if ended.returncode:
        raise LoadTestError(f"The open loop ended: {ended.stderr.decode()[-500:]}")
    return msgspec.json.decode(ended.stdout, type=OpenResult)


def main() -> None:
    """Read a plan, carry it out, write the result."""
    generator = Generator(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan))
    gc.collect()
    gc.disable()  # a run is short, and a collection would be lateness of the generator's own
    result = uvloop.run(generator.run())
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
