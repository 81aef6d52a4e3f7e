"""Bodies on their way in: each part in time, to the end, or an error that says what was missing."""

import asyncio
from typing import Any, TypeVar

import msgspec
from litestar.types import Receive
from msgspec import Struct

from gateway.errors import BodyCutOff, BodyTimeout
from registry.errors import InvalidRequest, clip

_Wanted = TypeVar("_Wanted", bound=Struct)


def in_time(receive: Receive, deadline_s: float) -> Receive:
    """Return a `receive` that waits at most `deadline_s` for each part of the body.

    It raises BodyTimeout then, and BodyCutOff where the caller goes away before the body is whole.
    """
    is_whole = False

    async def receive_in_time() -> Any:
        nonlocal is_whole
        if is_whole:
            return await receive()
        try:
            async with asyncio.timeout(deadline_s):
                message: Any = await receive()
        except TimeoutError:
            raise BodyTimeout(deadline_s) from None
        if message["type"] == "http.disconnect":
            raise BodyCutOff
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


def read_object(body: bytes, kind: type[_Wanted]) -> _Wanted:
    """Read what is to be set, and say which member is at fault. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        known = ", ".join(kind.__struct_fields__)
        fault = clip(str(error).replace("`", "'"), 200)
        raise InvalidRequest("body", f"An object with some of {known} is set. {fault}.") from error
