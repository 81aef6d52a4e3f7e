"""How an export is written: lines of JSON, a table for spreadsheets, or Parquet."""

import csv
import importlib
import io
from base64 import b64encode
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from registry.audit.export import MEMBERS, Export, Exported, moment_of
from registry.entry import decode_record
from registry.errors import InvalidRequest

# What a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Format(StrEnum):
    """How an export is written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


class Manifest(Struct, frozen=True, kw_only=True):
    """What was exported: how many records, out of how many, under which checkpoint."""

    records: int
    size: int
    checkpoint: str


Write = Callable[[Export], Iterator[bytes]]


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
