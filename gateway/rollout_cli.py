"""`gateway rollout`: the group whose commands stand in `gateway.rollout_commands`."""

import click

from gateway.lazy_commands import LazyCommands

_PLACES = {
    "start": "gateway.rollout_commands.start:start",
    "list": "gateway.rollout_commands.show:list_rollouts",
    "show": "gateway.rollout_commands.show:show",
    "watch": "gateway.rollout_commands.watch:watch",
    "rehearse": "gateway.rollout_commands.rehearse:rehearse",
    "pause": "gateway.rollout_commands.change:pause",
    "resume": "gateway.rollout_commands.change:resume",
    "abort": "gateway.rollout_commands.change:abort",
}


@click.group("rollout", cls=LazyCommands, places=_PLACES)
def rollout() -> None:
    """Let a new version meet real traffic, step by step; no server needs to run."""
