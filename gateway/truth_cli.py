"""`gateway truth` and `truth-policy`: how good answers were, by the labels that came of them."""

import sys
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from gateway.drift.period import DEFAULT, read_period
from gateway.truth.reading import read_truth
from gateway.truth.terminal import print_truth
from registry import truth
from registry.console import (
    PIPE_WIDTH,
    data_dir_option,
    local_author,
    open_registry,
    policy_option,
    print_json,
    read_policy,
)
from registry.records import Lane
from registry.times import now
from registry.truth_policy import TruthPolicy
from registry.truth_policy import truth_policy as policy_of

_LANES = click.Choice([lane.value for lane in Lane])


@click.command("truth")
@data_dir_option
@click.argument("model")
@click.option(
    "--window", default=DEFAULT, show_default=True,
    help="How long the time is whose labels are due, as in 1h or 30d.",
)  # fmt: skip
@click.option("--version", type=int, help="A version; the champion, if not given.")
@click.option("--lane", type=_LANES, help="A lane; all that answer callers, if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def show_truth(  # noqa: PLR0917 - click passes them by name
    data_dir: Path,
    model: str,
    window: str,
    version: int | None,
    lane: str | None,
    as_json: bool,
) -> None:
    """Show how good the answers of MODEL were, by the labels that came of them."""
    report = read_truth(
        open_registry(data_dir), model, read_period(window),
        at=now(), version=version, lane=None if lane is None else Lane(lane),
    )  # fmt: skip
    if as_json:
        print_json(report)
        return
    print_truth(Console(width=None if sys.stdout.isatty() else PIPE_WIDTH), report)


@click.command("truth-policy")
@data_dir_option
@click.argument("model")
@policy_option
def truth_policy(data_dir: Path, model: str, policy: IO[bytes] | None) -> None:
    """Show what the answers of MODEL are scored against, or set it."""
    registry = open_registry(data_dir)
    registry.versions(model)
    if policy is not None:
        given = read_policy(policy, TruthPolicy, "truth")
        truth.set_truth_policy(registry, model, given, local_author())
    print_json(policy_of(registry.store, model))
