"""The audit route that asks again: one record, on its own version or on another."""

import asyncio
import threading
from typing import Annotated, Any

from litestar import Request, post
from litestar.di import NamedDependency
from msgspec import Meta, Struct

from gateway.errors import ReplayBusy
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.audit import RecordId
from gateway.http.repository import read_body
from gateway.replay.asking import Asking, record_replay
from gateway.replay.what_if import WhatIf
from gateway.security import Role
from registry.audit.replay import Replay
from registry.recording import Author
from registry.registry import Registry


class ReplayRequest(Struct, forbid_unknown_fields=True):
    """Which version to ask: the recorded one, or another of the same model."""

    version: Annotated[int, Meta(ge=1)] | None = None


class ReplayDesk:
    """Takes one replay at a time: each is a process that needs memory for a model of its own."""

    def __init__(self, registry: Registry, asking: Asking) -> None:
        self._registry = registry
        self._asking = asking
        self._turn = threading.Lock()

    def replay(self, record_id: str, version: int | None, author: Author) -> Replay | WhatIf:
        """Replay one record, and record that it was. Raises ReplayBusy, NotFound."""
        if not self._turn.acquire(blocking=False):
            raise ReplayBusy
        try:
            replay = self._asking.ask_one(record_id, version)
            record_replay(self._registry, author, replay)
        finally:
            self._turn.release()
        return replay


@post(
    "/audit/records/{record_id:str}/replay",
    opt=open_to(Role.AUDITOR),
    request_max_body_size=JSON_LIMIT,
    status_code=200,
)
async def replay(
    request: Request[Any, Any, Any],
    replay_desk: NamedDependency[ReplayDesk],
    record_id: RecordId,
) -> Replay | WhatIf:
    """Run a recorded input again, apart from the workers, and compare the answer's bits.

    The body may be empty, or name another `version` of the model to be asked instead.
    """
    wanted = read_body(await request.body(), ReplayRequest)
    author = author_of(request)
    return await asyncio.to_thread(replay_desk.replay, record_id, wanted.version, author)
