"""Reads of audit data leave a record of their own, on disk before the answer begins.

Every route under `/audit` that needs a key and is asked with GET is recorded, whoever adds it; what
changes something has a record already. Only answers that give something are: whoever is refused has
read nothing.
"""

import asyncio
from typing import Any

from litestar import Request
from litestar.exceptions import LitestarException
from litestar.types import ASGIApp, HTTPScope, Receive, Send

from gateway.http.problems import reply_to_error, send_reply
from gateway.journal import Journal
from registry.audit.reads import read_record
from registry.entry import Entry, encode_record
from registry.errors import JournalBroken, JournalUnavailable, RegistryError
from registry.records import AuditRecord
from registry.workers import Key

_PREFIX = "/audit/"
_ROWS = "rows_read"


class _Withheld(Exception):
    """What the answer would have given stays here, since nobody could record that it was read."""


def tell_rows(request: Request[Any, Any, Any], rows: int | None) -> None:
    """Say how many records an answer gives, where it is not one; None if nobody knows yet."""
    request.state[_ROWS] = rows


async def answer_recorded(
    app: ASGIApp, journal: Journal, scope: HTTPScope, receive: Receive, send: Send
) -> None:
    """Answer a request through `app`, and hold a read of audit data back until its record is safe.

    Where the record cannot be made durable, the answer is that fault instead.
    """
    is_withheld = False

    async def send_recorded(message: Any) -> None:
        nonlocal is_withheld
        if message["type"] == "http.response.start" and _is_read(scope, message["status"]):
            try:
                await _make_durable(journal, _record(scope))
            except RegistryError as error:
                is_withheld = True
                await send_reply(send, reply_to_error(error, scope["path"]))
                raise _Withheld from error
        await send(message)

    try:
        await app(scope, receive, send_recorded)
    except LitestarException:  # what the framework makes of a send that fails
        if not is_withheld:
            raise


def _is_read(scope: HTTPScope, status: int) -> bool:
    # A key is there where the route asked for one.
    return (
        scope["path"].startswith(_PREFIX)
        and scope["method"] == "GET"
        and status < 300
        and "key" in scope["state"]
    )


def _record(scope: HTTPScope) -> AuditRecord:
    key: Key = scope["state"]["key"]
    query = scope["query_string"].decode("latin-1")
    return read_record(
        f"GET {scope['path_template']}",
        scope["path"] + (f"?{query}" if query else ""),
        rows=scope["state"].get(_ROWS, 1),
        principal=key.id,
        source=scope["client"][0] if scope["client"] else None,
    )


async def _make_durable(journal: Journal, record: AuditRecord) -> None:
    is_durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: JournalUnavailable | JournalBroken | None) -> None:
        if is_durable.cancelled():
            return
        if error is None:
            is_durable.set_result(None)
        else:
            is_durable.set_exception(error)

    journal.append(Entry(encode_record(record), None), done)
    await is_durable
