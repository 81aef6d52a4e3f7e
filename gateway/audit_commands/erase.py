"""`gateway audit erase`: destroy what is kept of a person."""

import asyncio
from pathlib import Path

import click

from gateway.erasing import erase
from gateway.serve import sole_server
from registry.audit.log import drop_segments, integrate
from registry.console import data_dir_option, local_author, open_registry
from registry.errors import Conflict


@click.command("erase")
@data_dir_option
@click.argument("subject")
@click.option("--reason", required=True, help="Recorded; it must not name the person.")
def erase_subject(data_dir: Path, subject: str, reason: str) -> None:
    """Destroy all that is kept of the person whom requests named SUBJECT."""
    registry = open_registry(data_dir)
    journal_dir = data_dir / "journal"
    try:
        with sole_server(data_dir):
            # What is destroyed must not stay in clear; what is not signed yet is at the next start.
            drop_segments(registry.store, journal_dir, integrate(registry.store, journal_dir).done)
    except Conflict:
        pass  # it is served, and so the controller integrates
    erased = asyncio.run(
        erase(registry, journal_dir, subject=subject, reason=reason, author=local_author())
    )
    click.echo(f"{erased.payloads} payloads are erased; record {erased.record_id} says so.")
    if not erased.is_scrubbed:
        click.echo(
            "Somebody reads an older state of the store; it goes when they have done.", err=True
        )
    for name in erased.damaged:
        click.echo(f"journal/{name} cannot be read, and may be of anybody: delete it.", err=True)
