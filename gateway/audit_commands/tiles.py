"""`gateway audit tiles`: the log, as other tools and the checker read it."""

from pathlib import Path

import click

from registry.audit.static import export_tiles
from registry.console import data_dir_option, open_registry, record_read


@click.command("tiles")
@data_dir_option
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory to write to; what an earlier export wrote there is used again.",
)
@click.option("--payloads", is_flag=True, help="Write inputs and outputs as well.")
def export(data_dir: Path, directory: Path, *, payloads: bool) -> None:
    """Write the whole log and its checkpoint to files that only their owner can read."""
    registry = open_registry(data_dir)
    record_read(registry, "gateway audit tiles", "", None)
    exported = export_tiles(registry.store, directory, payloads=payloads)
    click.echo(f"{directory} holds {exported.size} records; {exported.written} files are new.")
