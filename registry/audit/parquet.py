"""Exports as Parquet, a row group for each page; needs pyarrow, an extra."""

import io
from collections.abc import Iterator
from typing import Any, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from registry.audit.export import MEMBERS, Export, Exported, moment_of
from registry.entry import decode_record
from registry.records import AuditRecord


class _Drain(io.RawIOBase):
    """A file that is written from start to end, and taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def write_parquet(export: Export) -> Iterator[bytes]:
    """Write the members of each record, and its exact bytes as `leaf`.

    The file's own metadata have `size` and `checkpoint`.
    """
    schema = _schema(export)
    drain = _Drain()
    with pq.ParquetWriter(drain, schema) as writer:
        for page in export.pages():
            if page:
                writer.write_table(_table(page, schema))
            yield drain.take()
    yield drain.take()


def _schema(export: Export) -> pa.Schema:
    fields = [("index", pa.int64()), ("at", pa.timestamp("us", "UTC"))]
    hints = get_type_hints(AuditRecord)
    fields += [(name, _type(hints[name])) for name in MEMBERS]
    if export.proofs:
        fields.append(("proof", pa.list_(pa.binary(32))))
    fields.append(("leaf", pa.binary()))
    return pa.schema(fields, {"size": str(export.size), "checkpoint": export.note})


def _type(hint: Any) -> pa.DataType:
    if get_origin(hint) is tuple:
        return pa.list_(pa.string())
    return pa.int64() if hint == int | None else pa.string()


def _table(page: list[Exported], schema: pa.Schema) -> pa.Table:
    records = [decode_record(one.leaf) for one in page]
    columns: dict[str, list[Any]] = {
        "index": [one.index for one in page],
        "at": [moment_of(record) for record in records],
        "proof": [one.proof for one in page],
        "leaf": [one.leaf for one in page],
        **{name: [_plain(record, name) for record in records] for name in MEMBERS},
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _plain(record: AuditRecord, name: str) -> Any:
    value = getattr(record, name)
    return list(value) if isinstance(value, tuple) else value
