"""`gateway contract`: the group whose commands stand in `gateway.contract_commands`."""

import click

from gateway.lazy_commands import LazyCommands

_PLACES = {"rehearse": "gateway.contract_commands.rehearse:rehearse"}


@click.group("contract", cls=LazyCommands, places=_PLACES)
def contract() -> None:
    """Try rules on what was recorded; no server needs to run."""
