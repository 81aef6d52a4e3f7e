"""`gateway audit export`: records in bulk, and beside them what says which they are."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.audit_commands.filters import as_query, before_option, filter_options
from gateway.settings import Settings
from registry.audit.export import open_export
from registry.audit.export_forms import Format, writer_of
from registry.audit.published import PublishedLog
from registry.console import data_dir_option, open_registry, record_read
from registry.records import RecordFilter

_MANIFEST_SUFFIX = ".manifest.json"


@click.command("export")
@data_dir_option
@click.option(
    "--format",
    "form",
    type=click.Choice(Format, case_sensitive=False),
    required=True,
    help="Parquet needs the extra `publish`.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write; its manifest is written beside it.",
)
@click.option("--proofs", is_flag=True, help="Give each record the hashes that prove it.")
@filter_options
@before_option
def export_records(
    data_dir: Path, form: Format, target: Path, *, proofs: bool, **wanted: Any
) -> None:
    """Write the published records that fit into a file that only its owner can read."""
    registry = open_registry(data_dir)
    log = PublishedLog(registry.store, Settings(data_dir=data_dir).checkpoint_path)
    write = writer_of(form)
    export = open_export(registry.store, log, RecordFilter(**wanted), proofs=proofs)
    query = as_query(**wanted, format=form.value)
    record_read(registry, "gateway audit export", query, None)
    manifest = {
        "digest": _write_file(target, write(export)),
        "filters": as_query(**wanted),
        "size": export.size,
        "checkpoint": export.note,
    }
    side = target.with_name(target.name + _MANIFEST_SUFFIX)
    _write_file(side, iter([msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"]))
    click.echo(f"{target} holds what fits of {export.size:,} records; {side} says which they are.")


def _write_file(path: Path, parts: Iterator[bytes]) -> str:
    """Write a file that only its owner can read, and return its digest."""
    digest = sha256()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                digest.update(part)
                file.write(part)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error
    return f"sha256:{digest.hexdigest()}"
