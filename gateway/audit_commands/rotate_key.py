"""`gateway audit rotate-key`: another key for the log, under the signatures of both."""

from pathlib import Path

import click

from registry.audit.keyfile import KeyFile
from registry.audit.origins import replace_lost_key, rotate_key
from registry.console import data_dir_option, local_author, log_key_option, open_registry
from registry.names import check_reason
from registry.times import now


@click.command("rotate-key")
@data_dir_option
@log_key_option
@click.option("--reason", required=True)
@click.option(
    "--lost", is_flag=True, help="The key is lost: the log goes on under another name as well."
)
def rotate(data_dir: Path, log_key: Path | None, reason: str, *, lost: bool) -> None:
    """Sign the log with another key from now on, and print its verifier key.

    A running gateway does so with its next checkpoint, which the old key signs too.
    """
    check_reason(reason)
    store = open_registry(data_dir).store
    verb = replace_lost_key if lost else rotate_key
    keys = KeyFile(log_key or data_dir / "log.key")
    old, new = verb(store, keys, principal=local_author().principal, reason=reason, at=now())
    click.echo(f"The key before was {old.vkey}", err=True)
    click.echo(new.vkey)
