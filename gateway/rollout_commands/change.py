"""`gateway rollout pause`, `resume` and `abort`: what people do with a rollout that is open."""

from pathlib import Path

import click

from registry import rolling_out
from registry.console import data_dir_option, local_author, open_registry

_reason_option = click.option("--reason", required=True, help="Why; it is recorded.")


@click.command("pause")
@data_dir_option
@click.argument("rollout_id", metavar="ID")
@_reason_option
def pause(data_dir: Path, rollout_id: str, reason: str) -> None:
    """Let the challenger meet no traffic until ID is resumed."""
    rolling_out.pause(open_registry(data_dir), rollout_id, reason, local_author())
    click.echo(f"{rollout_id} is paused.")


@click.command("resume")
@data_dir_option
@click.argument("rollout_id", metavar="ID")
@_reason_option
def resume(data_dir: Path, rollout_id: str, reason: str) -> None:
    """Let ID go on in the stage that it is in."""
    found = rolling_out.resume(open_registry(data_dir), rollout_id, reason, local_author())
    click.echo(f"{rollout_id} goes on in {found.stage_name}.")


@click.command("abort")
@data_dir_option
@click.argument("rollout_id", metavar="ID")
@_reason_option
def abort(data_dir: Path, rollout_id: str, reason: str) -> None:
    """End ID: the champion answers everybody."""
    found = rolling_out.abort(open_registry(data_dir), rollout_id, reason, local_author())
    click.echo(f"{rollout_id} is {found.phase}; champion {found.champion} answers everybody.")
