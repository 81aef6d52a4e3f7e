"""Who asks for a change, and the record that it leaves."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from registry.entry import new_record_id
from registry.records import AuditRecord, Kind, Outcome
from registry.store import Transaction
from registry.times import to_us
from registry.versions import Version


class Author(Struct, frozen=True, kw_only=True):
    """Who asks for a change, and from where.

    `roles` are those of the key; None stands for whoever has the data itself, and so every right.
    """

    principal: str
    source: str | None = None
    roles: frozenset[str] | None = None


def append_record(
    tx: Transaction,
    action: str,
    author: Author,
    at: datetime,
    *,
    kind: Kind = Kind.ADMIN,
    version: Version | None = None,
    model: str | None = None,
    **details: Any,
) -> AuditRecord:
    """Append the record of what is done in the same transaction."""
    time_ns = to_us(at) * 1000
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=kind,
        time=str(time_ns),
        outcome=Outcome.DONE,
        action=action,
        principal=author.principal,
        source=author.source,
        model=model if version is None else version.model,
        version=None if version is None else version.number,
        digest=None if version is None else version.artifact,
        manifest=None if version is None else version.manifest,
        **details,
    )
    tx.append(record)
    return record
