"""`gateway audit erase`: destroy what is kept of a person."""

import asyncio
from contextlib import ExitStack
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
    with ExitStack() as alone:
        try:
            alone.enter_context(sole_server(data_dir))
        except Conflict:
            is_served = True  # and so the controller integrates
        else:
            is_served = False
        if not is_served:
            # What is destroyed must not stay in clear; what is not signed yet is at the next start.
            drop_segments(registry.store, journal_dir, integrate(registry.store, journal_dir).done)
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
