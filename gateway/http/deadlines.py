"""How long a connection may take for each part of a request, and who sees to it."""

import asyncio
from collections.abc import Collection
from enum import Enum
from typing import Protocol, runtime_checkable

from msgspec import Struct

from gateway.logs import logger


class Limits(Struct, frozen=True, kw_only=True):
    """What a connection holds a request to; times are in seconds."""

    body_limit: int
    header_deadline_s: float
    body_deadline_s: float
    idle_deadline_s: float


class Phase(Enum):
    """What a connection waits for, and so which deadline it is under."""

    IDLE = "a request, or its answer"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ELSEWHERE = "a body that the application reads within a deadline of its own"


@runtime_checkable
class Bounded(Protocol):
    """A connection that can be held to its deadlines."""

    def check_deadline(self, now: float) -> None:
        """End the connection if what it waits for has not come in time."""
        ...


async def watch_deadlines(connections: Collection[object], limits: Limits) -> None:
    """Hold all connections to their deadlines, within a tenth of the shortest; never returns.

    One task looks at all of them: a timer for each request would cost as much as reading its head.
    """
    loop = asyncio.get_running_loop()
    shortest_s = min(limits.header_deadline_s, limits.body_deadline_s, limits.idle_deadline_s)
    while True:
        await asyncio.sleep(shortest_s / 10)
        for connection in list(connections):
            try:
                if isinstance(connection, Bounded):
                    connection.check_deadline(loop.time())
            except Exception as error:  # noqa: BLE001 - the top of a loop that must not end
                logger.error("unforeseen_error", exc_info=error)
