"""Sends flights to a gateway as its callers would, and keeps what came back."""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import httpx
from msgspec import Struct

from gateway.demo.flights import TEXTS, Flight

MODEL = "flights"
SEGMENT = "origin"  # the request parameter by which paired answers are counted apart
_CONNECTIONS = 16
_MOST_TRIES = 20


class Reply(Struct, frozen=True, kw_only=True):
    """What a caller learned from one request."""

    status: int
    record_id: str
    version: str | None
    lane: str | None
    flags: str | None
    violations: tuple[dict[str, Any], ...]
    latency_ms: float
    tries: int = 1


class Traffic:
    """Flights that are still to be asked for, each once; a caller is known by its flight."""

    def __init__(self, flights: Sequence[Flight], seed: int) -> None:
        self._waiting = list(enumerate(flights))
        Random(seed).shuffle(self._waiting)  # noqa: S311 - an order, no secret

    def take(self, count: int) -> list[tuple[int, Flight]]:
        """Return the next flights with their numbers, fewer where there are no more."""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def write_request(flight: Flight, number: int) -> dict[str, Any]:
    """Write one flight as a request of the Open Inference Protocol, one tensor for each input."""
    return {
        "id": f"flight-{number}",
        "parameters": {SEGMENT: flight.inputs[SEGMENT]},
        "inputs": [
            {
                "name": name,
                "shape": [1, 1],
                "datatype": "BYTES" if name in TEXTS else "FP32",
                "data": [value],
            }
            for name, value in flight.inputs.items()
        ],
    }


async def ask(client: httpx.AsyncClient, flight: Flight, number: int) -> Reply:
    """Ask for one flight, again when a busy gateway says so, as callers do.

    Raises httpx.HTTPError where no answer comes.
    """
    request, tries = write_request(flight, number), 0
    while True:
        tries += 1
        started = time.perf_counter()
        response = await client.post(f"/v2/models/{MODEL}/infer", json=request)
        latency_ms = (time.perf_counter() - started) * 1000
        if response.status_code != 503 or tries == _MOST_TRIES:
            break
        await asyncio.sleep(float(response.headers.get("retry-after", 1)))
    body = response.json()
    parameters = body.get("parameters", {})
    return Reply(
        status=response.status_code,
        record_id=response.headers.get("x-record-id", ""),
        version=body.get("model_version"),
        lane=parameters.get("lane"),
        flags=parameters.get("flags"),
        violations=tuple(body.get("violations", ())),
        latency_ms=latency_ms,
        tries=tries,
    )


async def replay(
    url: str,
    token: str,
    flights: Sequence[tuple[int, Flight]],
    advance: Callable[[], object],
) -> list[Reply]:
    """Ask for all flights over a few connections at once; replies stand in the flights' order."""
    waiting = iter(enumerate(flights))
    replies: dict[int, Reply] = {}

    async def work(client: httpx.AsyncClient) -> None:
        for place, (number, flight) in waiting:
            replies[place] = await ask(client, flight, number)
            advance()

    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, trust_env=False
    ) as client:
        await asyncio.gather(*(work(client) for _ in range(_CONNECTIONS)))
    return [replies[place] for place in range(len(flights))]
