"""`gateway audit policy`, `retention` and `hold`: what is kept, for how long, what may not go."""

from pathlib import Path
from typing import IO, Any

import click

from registry import privacy
from registry.console import (
    data_dir_option,
    local_author,
    open_registry,
    policy_option,
    print_json,
    read_policy,
)
from registry.payload_policy import PayloadPolicy
from registry.retention import PRESETS, Retention

_DAYS = click.IntRange(1)


@click.command("policy")
@data_dir_option
@click.argument("model")
@policy_option
def payload_policy(data_dir: Path, model: str, policy: IO[bytes] | None) -> None:
    """Show what is kept of the payloads of MODEL, or set it."""
    registry = open_registry(data_dir)
    registry.versions(model)
    if policy is not None:
        given = read_policy(policy, PayloadPolicy, "payload")
        privacy.set_payload_policy(registry, model, given, local_author())
    print_json(privacy.payload_policy(registry.store, model))


@click.command("retention")
@data_dir_option
@click.argument("model")
@click.option("--preset", type=click.Choice(list(PRESETS)))
@click.option("--payload-days", type=_DAYS, help="Days that payloads are kept.")
@click.option("--record-days", type=_DAYS, help="Days that records are kept.")
@click.option("--without-end", is_flag=True, help="Keep everything, as when nothing was set.")
def retention(data_dir: Path, model: str, *, without_end: bool, **days: Any) -> None:
    """Show for how long payloads and records of MODEL are kept, or set it."""
    registry = open_registry(data_dir)
    registry.versions(model)
    given = Retention(**days)
    if without_end or given != Retention():
        if without_end and given != Retention():
            raise click.UsageError("--without-end goes with no days and no preset.")
        privacy.set_retention(registry, model, given, local_author())
    print_json(privacy.retentions(registry.store).get(model, Retention()))


@click.command("hold")
@data_dir_option
@click.argument("model")
@click.option("--reason", required=True)
@click.option("--lift", is_flag=True, help="Lift the hold.")
def hold(data_dir: Path, model: str, reason: str, lift: bool) -> None:
    """Keep all there is of MODEL, whatever its retention, until the hold is lifted."""
    registry = open_registry(data_dir)
    (privacy.lift_hold if lift else privacy.set_hold)(registry, model, reason, local_author())
    click.echo(f"{model} is {'no longer ' if lift else ''}under legal hold.")
