"""Answers under keys of the callers' in SQL; the order of columns is that of `schema.sql`."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from registry.answers import Answer, Claim
from registry.stores.rows import Row
from registry.times import to_us

Ask = Callable[..., Sequence[Row]]

_FIND = "SELECT request, status, headers, body FROM answer WHERE principal = ? AND key = ?"
_KEEP = "UPDATE answer SET status = ?, headers = ?, body = ? WHERE principal = ? AND key = ?"


def claim(ask: Ask, claimed: Claim, at: datetime, oldest: datetime) -> Claim | None:
    """Let a key stand for a request from now on, or return what it stands for already.

    What began before `oldest` is forgotten.
    """
    ask("DELETE FROM answer WHERE begun < ?", (to_us(oldest),))
    found = ask(_FIND, (claimed.principal, claimed.key))
    if not found:
        row = (claimed.principal, claimed.key, claimed.request, to_us(at), None, None, None)
        ask("INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return None
    request, status, headers, body = found[0]
    answer = None
    if status is not None:
        kept = msgspec.json.decode(headers, type=dict[str, str])
        answer = Answer(status=status, headers=kept, body=body)
    return msgspec.structs.replace(claimed, request=request, answer=answer)


def keep(ask: Ask, claimed: Claim, answer: Answer) -> None:
    """Keep what a request was answered with."""
    headers = msgspec.json.encode(answer.headers).decode()
    ask(_KEEP, (answer.status, headers, answer.body, claimed.principal, claimed.key))


def release(ask: Ask, claimed: Claim) -> None:
    """Let a key stand for nothing any more."""
    ask("DELETE FROM answer WHERE principal = ? AND key = ?", (claimed.principal, claimed.key))
