"""What checkers of the log read: checkpoint, keys, tiles and proofs (C2SP tlog-tiles, tlog-proof).

A log's URL prefix is `/audit`. Its hashes say nothing of what they are of, so they are open to all;
its entries are not.
"""

import base64
from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct, field

from gateway.http.access import OPEN, open_to
from gateway.security import Role
from registry.audit.published import PublishedLog
from registry.audit.query import AuditTrail
from registry.errors import NotPublished, TileNotFound
from registry.tlog.tiles import MAX_LEVEL, TileName

_TEXT = "text/plain"  # in UTF-8, which the framework adds
_BYTES = "application/octet-stream"
# What is full never changes; the rest is soon another.
_FOR_GOOD = {"cache-control": "public, max-age=31536000, immutable"}
_FOR_NOW = {"cache-control": "no-cache"}
_LEVELS = {str(level): level for level in range(MAX_LEVEL + 1)}

Level = Annotated[str, PathParameter(description="A whole number from 0 to 63.")]
TilePath = Annotated[str, PathParameter(description="As in `x001/x234/067` or `273.p/112`.")]


class VkeyView(Struct, kw_only=True):
    """A name and key of the log; both hold from record `since` on, until the next one's."""

    origin: str
    vkey: str
    since: int
    at: datetime


class ProofView(Struct, kw_only=True):
    """A record's exact bytes in base64, its index, and the proof that the log has it there.

    `proof` is a C2SP tlog-proof: it holds the checkpoint, and needs nothing but a verifier key.
    """

    record_id: str
    index: int
    leaf: str
    proof: str


class ConsistencyView(Struct, kw_only=True):
    """Hashes in base64 that prove that the tree of `to` records begins with that of `from`."""

    old: int = field(name="from")
    new: int = field(name="to")
    hashes: list[str]


@get("/audit/checkpoint", opt=OPEN, media_type=_TEXT, sync_to_thread=True)
def show_checkpoint(log: NamedDependency[PublishedLog]) -> Response[str]:
    """Show the signed head of the log."""
    return Response(log.note(), media_type=_TEXT, headers=_FOR_NOW)


@get("/audit/vkey", opt=OPEN, media_type=_TEXT, sync_to_thread=True)
def show_vkey(log: NamedDependency[PublishedLog]) -> str:
    """Show the key that the log is signed with."""
    return log.origins()[-1].vkey + "\n"


@get("/audit/vkeys", opt=OPEN, sync_to_thread=True)
def show_vkeys(log: NamedDependency[PublishedLog]) -> list[VkeyView]:
    """List the names and keys that the log has had, oldest first."""
    return [
        VkeyView(origin=one.name, vkey=one.vkey, since=one.since, at=one.at)
        for one in log.origins()
    ]


@get("/audit/tile/{level:str}/{tile:path}", opt=OPEN, media_type=_BYTES, sync_to_thread=True)
def show_tile(log: NamedDependency[PublishedLog], level: Level, tile: TilePath) -> Response[bytes]:
    """Show hashes of the tree: a tile (C2SP tlog-tiles)."""
    name = _name(tile)
    if level not in _LEVELS:
        raise TileNotFound(f"tile/{level}{tile}")
    return Response(log.tile(_LEVELS[level], name), media_type=_BYTES, headers=_FOR_GOOD)


@get(
    "/audit/tile/entries/{tile:path}",
    opt=open_to(Role.AUDITOR),
    media_type=_BYTES,
    sync_to_thread=True,
)
def show_entries(log: NamedDependency[PublishedLog], tile: TilePath) -> Response[bytes]:
    """Show records in their exact bytes: an entry bundle (C2SP tlog-tiles)."""
    return Response(log.bundle(_name(tile)), media_type=_BYTES, headers=_FOR_NOW)


@get("/audit/records/{record_id:str}/proof", opt=open_to(Role.AUDITOR), sync_to_thread=True)
def show_proof(
    log: NamedDependency[PublishedLog],
    trail: NamedDependency[AuditTrail],
    record_id: Annotated[str, PathParameter(description="Id of a record.")],
) -> ProofView:
    """Prove that the log has a record, in a form that can be checked with no server."""
    found = trail.record(record_id)
    if found.index is None:
        raise NotPublished(f"record {found.record.id}")
    return ProofView(
        record_id=found.record.id,
        index=found.index,
        leaf=base64.b64encode(found.leaf).decode(),
        proof=log.proof(found.index, f"record {found.record.id}"),
    )


@get("/audit/consistency", opt=OPEN, sync_to_thread=True)
def show_consistency(
    log: NamedDependency[PublishedLog],
    old: Annotated[int, QueryParameter(name="from", ge=0)] = 0,
    new: Annotated[int | None, QueryParameter(name="to", ge=0)] = None,
) -> ConsistencyView:
    """Prove that the log only grew: from `from` records to `to`, or to those published."""
    size, hashes = log.consistency(old, new)
    encoded = [base64.b64encode(one).decode() for one in hashes]
    return ConsistencyView(old=old, new=size, hashes=encoded)


def _name(tile: str) -> TileName:
    name = TileName.read(tile.removeprefix("/"))
    if name is None:
        raise TileNotFound(f"tile{tile}")
    return name
