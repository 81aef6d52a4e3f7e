"""Exports: the records that a filter accepts, out of one state of the log, with what proves them.

An export is of the tree under the checkpoint that was published when it began. It is read in pages,
newest first, so it holds no transaction open while it is written and sent, and records that arrive
meanwhile are left out.
"""

import csv
import importlib
import io
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from registry.audit.published import PublishedLog
from registry.entry import decode_record
from registry.errors import InvalidRequest
from registry.records import AuditRecord, RecordFilter
from registry.store import Store
from registry.times import from_us
from registry.tlog.note import Checkpoint
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import inclusion_proof

_PAGE = 1_000
_TILES_KEPT = 256
# What a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MEMBERS = AuditRecord.__struct_fields__


class Format(StrEnum):
    """How an export is written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


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
        before: str | None = None
        while page := self.store.records(self.wanted, before=before, limit=_PAGE):
            before = decode_record(page[-1][1]).id
            nodes = TileNodes(tiles)  # for each page, since it keeps every tile it was given
            yield [
                Exported(
                    index,
                    leaf,
                    inclusion_proof(index, self.size, nodes) if self.proofs else None,
                )
                for index, leaf in page
                if index < self.size
            ]


class Manifest(Struct, frozen=True, kw_only=True):
    """What was exported: how many records, out of how many, under which checkpoint."""

    records: int
    size: int
    checkpoint: str


Write = Callable[[Export], Iterator[bytes]]


def open_export(store: Store, log: PublishedLog, wanted: RecordFilter, *, proofs: bool) -> Export:
    """Begin an export of what is published now. Raises NotPublished where nothing is."""
    note = log.note()
    size = Checkpoint.read(note).size
    return Export(store=store, wanted=wanted, size=size, note=note, proofs=proofs)


def writer_of(form: Format) -> Write:
    """Return what writes a format, a page at a time. Raises InvalidRequest where it cannot here."""
    if form is Format.NDJSON:
        return write_ndjson
    if form is Format.CSV:
        return write_csv
    try:
        # An extra, and not small.
        write: Write = importlib.import_module("registry.audit.parquet").write_parquet
    except ImportError as error:
        raise InvalidRequest(
            "format", "Parquet needs pyarrow; install the extra governed-gateway[publish]."
        ) from error
    return write


def write_ndjson(export: Export) -> Iterator[bytes]:
    """Write a line for each record, and a last one that says what was exported.

    What stands between `"record":` and the last brace of a line are the exact bytes of the leaf.
    """
    records = 0
    for page in export.pages():
        records += len(page)
        yield b"".join(map(_json_line, page))
    manifest = Manifest(records=records, size=export.size, checkpoint=export.note)
    yield msgspec.json.encode(manifest) + b"\n"


def write_csv(export: Export) -> Iterator[bytes]:
    """Write the members of each record, and last its exact bytes, as RFC 4180 has it.

    A text that a spreadsheet could take for a formula gets an apostrophe before it.
    """
    proof = ("proof",) if export.proofs else ()
    yield _csv_rows([("index", "at", *MEMBERS, *proof, "leaf")])
    for page in export.pages():
        yield _csv_rows([_csv_row(one) for one in page])


def moment_of(record: AuditRecord) -> datetime:
    return from_us(int(record.time) // 1000)


def _json_line(one: Exported) -> bytes:
    proof = b""
    if one.proof is not None:
        hashes = b",".join(b'"%b"' % b64encode(node) for node in one.proof)
        proof = b'"proof":[%b],' % hashes
    return b'{"index":%d,%b"record":%b}\n' % (one.index, proof, one.leaf)


def _csv_row(one: Exported) -> tuple[object, ...]:
    record = decode_record(one.leaf)
    members = (_cell(getattr(record, name)) for name in MEMBERS)
    proof = () if one.proof is None else (" ".join(b64encode(node).decode() for node in one.proof),)
    moment = moment_of(record).isoformat(timespec="microseconds")
    return (one.index, moment, *members, *proof, one.leaf.decode())


def _csv_rows(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> object:
    """Write a member for a spreadsheet.

    >>> _cell("=1+1"), _cell(("range x[0]", "missing y")), _cell(7)
    ("'=1+1", 'range x[0]; missing y', 7)
    """
    if isinstance(value, tuple):
        value = "; ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
