"""Requests that a caller gave a key of their own, and what they were answered with; frozen values.

So a caller who has heard nothing can ask again, and nothing is done twice.
"""

from msgspec import Struct


class Answer(Struct, frozen=True, kw_only=True):
    """What went on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Claim(Struct, frozen=True, kw_only=True):
    """A key of a principal, and the digest of the request that it stands for.

    `answer` is None while the request is being carried out, and where no answer was kept.
    """

    principal: str
    key: str
    request: str
    answer: Answer | None = None
