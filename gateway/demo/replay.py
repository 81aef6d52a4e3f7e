"""Sends flights to a gateway as its callers would, and keeps what came back."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from msgspec import Struct

from gateway.demo.flights import TEXTS, Flight

MODEL = "flights"
_CONNECTIONS = 16


class Reply(Struct, frozen=True, kw_only=True):
    """What a caller learned from one request."""

    status: int
    record_id: str
    version: str | None
    late_probability: float | None
    flags: str | None
    violations: tuple[dict[str, Any], ...]
    latency_ms: float


def write_request(flight: Flight) -> dict[str, Any]:
    """Write one flight as a request of the Open Inference Protocol, one tensor for each input."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": [1, 1],
                "datatype": "BYTES" if name in TEXTS else "FP32",
                "data": [value],
            }
            for name, value in flight.inputs.items()
        ]
    }


async def ask(client: httpx.AsyncClient, flight: Flight) -> Reply:
    """Ask for one flight. Raises httpx.HTTPError where no answer comes."""
    started = time.perf_counter()
    response = await client.post(f"/v2/models/{MODEL}/infer", json=write_request(flight))
    latency_ms = (time.perf_counter() - started) * 1000
    body = response.json()
    parameters = body.get("parameters", {})
    outputs = {output["name"]: output["data"] for output in body.get("outputs", ())}
    return Reply(
        status=response.status_code,
        record_id=response.headers.get("x-record-id", ""),
        version=body.get("model_version"),
        late_probability=outputs["probabilities"][1] if outputs else None,
        flags=parameters.get("flags"),
        violations=tuple(body.get("violations", ())),
        latency_ms=latency_ms,
    )


async def replay(
    url: str, token: str, flights: Sequence[Flight], advance: Callable[[], object]
) -> list[Reply]:
    """Ask for all flights over a few connections at once; replies stand in the flights' order."""
    waiting = iter(enumerate(flights))
    replies: dict[int, Reply] = {}

    async def work(client: httpx.AsyncClient) -> None:
        for number, flight in waiting:
            replies[number] = await ask(client, flight)
            advance()

    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        await asyncio.gather(*(work(client) for _ in range(_CONNECTIONS)))
    return [replies[number] for number in range(len(flights))]
