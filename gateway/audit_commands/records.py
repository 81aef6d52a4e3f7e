"""`gateway audit records`: the newest records that fit."""

from pathlib import Path
from typing import Any

import click

from gateway.audit_commands.filters import as_query, filter_options, until_option
from registry.audit.query import AuditTrail
from registry.console import data_dir_option, open_registry, print_table, record_read
from registry.records import AuditRecord, RecordFilter
from registry.times import from_us


@click.command("records")
@data_dir_option
@filter_options
@until_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def list_records(data_dir: Path, limit: int, **wanted: Any) -> None:
    """Show the newest records that fit."""
    registry = open_registry(data_dir)
    trail = AuditTrail(registry.store, data_dir / "journal")
    records = trail.find(RecordFilter(**wanted), limit=limit).records
    record_read(registry, "gateway audit records", as_query(**wanted, limit=limit), len(records))
    print_table(
        ("time", "kind", "outcome", "model", "lane", "principal", "what", "id"),
        (_row(found.record) for found in records),
    )


def _row(record: AuditRecord) -> tuple[object, ...]:
    return (
        from_us(int(record.time) // 1000),
        record.kind,
        record.outcome,
        "" if record.model is None else f"{record.model} {record.version or ''}",
        record.lane,
        record.principal,
        record.action or record.error or record.subject or f"{record.rows} rows",
        record.id,
    )
