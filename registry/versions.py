"""The versions of a model and what its aliases named, as frozen values. Times are UTC."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

CHAMPION = "champion"


class VersionState(StrEnum):
    PUBLISHED = "published"
    RETIRED = "retired"


class Version(Struct, frozen=True, kw_only=True):
    """One immutable artifact of a model, numbered 1, 2, 3 …; only its state ever changes."""

    model: str
    number: int
    artifact: str
    manifest: str
    state: VersionState
    author: str
    created: datetime


class AliasCause(StrEnum):
    PROMOTE = "promote"
    ROLL_BACK = "rollback"
    POINT = "point"
    REMOVE = "remove"


class AliasChange(Struct, frozen=True, kw_only=True):
    """One entry of an alias's history: which version it names from then on, by whom and why."""

    model: str
    alias: str
    version: int | None
    cause: AliasCause
    at: datetime
    principal: str
    reason: str
    record_id: str
