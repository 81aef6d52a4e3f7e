"""Exports: the records that a filter accepts, out of one state of the log, with what proves them.

An export is of the tree under the checkpoint that was published when it began. It is read in pages,
newest first, so it holds no transaction open while it is written and sent, and records that arrive
meanwhile are left out.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from msgspec import Struct

from registry.audit.published import PublishedLog
from registry.entry import decode_record
from registry.records import AuditRecord, RecordFilter
from registry.store import Store
from registry.times import from_us
from registry.tlog.note import Checkpoint
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import inclusion_proof

_PAGE = 1_000
_TILES_KEPT = 256
_NODES_KEPT = 8_192
MEMBERS = AuditRecord.__struct_fields__


class Exported(Struct, frozen=True):
    """One record: its index, its exact bytes, and where asked for the hashes that prove it."""

    index: int
    leaf: bytes
    proof: list[bytes] | None


class Export(Struct, frozen=True, kw_only=True):
    """The records that fit out of the first `size`, and the signed note that covers them.

    `proofs` says that each record carries the hashes of its inclusion proof (RFC 6962).
    """

    store: Store
    wanted: RecordFilter
    size: int
    note: str
    proofs: bool

    def pages(self) -> Iterator[list[Exported]]:
        """Yield the records, newest first; each page is read at once, and none twice."""
        tiles = lru_cache(_TILES_KEPT)(self.store.tile)

        @lru_cache(_NODES_KEPT)
        def nodes(level: int, index: int) -> bytes:
            """Return a node; neighbours share most of those that prove them."""
            return TileNodes(tiles)(level, index)  # a new one, since it keeps every tile

        before: str | None = None
        while page := self.store.records(self.wanted, before=before, limit=_PAGE):
            before = decode_record(page[-1][1]).id
            yield [
                Exported(
                    index,
                    leaf,
                    inclusion_proof(index, self.size, nodes) if self.proofs else None,
                )
                for index, leaf in page
                if index < self.size
            ]


def open_export(store: Store, log: PublishedLog, wanted: RecordFilter, *, proofs: bool) -> Export:
    """Begin an export of what is published now. Raises NotPublished where nothing is."""
    note = log.note()
    size = Checkpoint.read(note).size
    return Export(store=store, wanted=wanted, size=size, note=note, proofs=proofs)


def moment_of(record: AuditRecord) -> datetime:
    return from_us(int(record.time) // 1000)
