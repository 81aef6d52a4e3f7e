"""`gateway drift`, `drift-policy` and `findings`: where traffic leaves its reference."""

import sys
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from gateway.drift.page import write_page
from gateway.drift.period import DEFAULT, read_period
from gateway.drift.reading import read_report
from gateway.drift.terminal import print_report
from registry import drift
from registry.console import (
    PIPE_WIDTH,
    data_dir_option,
    local_author,
    open_registry,
    policy_option,
    print_json,
    print_table,
    read_policy,
)
from registry.drift_policy import DriftPolicy
from registry.drift_policy import drift_policy as policy_of
from registry.records import Lane
from registry.times import now

_LANES = click.Choice([lane.value for lane in Lane])


@click.command("drift")
@data_dir_option
@click.argument("model")
@click.option("--window", default=DEFAULT, show_default=True, help="How far back, as in 1h or 30d.")
@click.option("--version", type=int, help="A version; the champion, if not given.")
@click.option("--lane", type=_LANES, default=Lane.CHAMPION.value, show_default=True)
@click.option(
    "--html", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page too."
)
def show_drift(  # noqa: PLR0917 - click passes them by name
    data_dir: Path, model: str, window: str, version: int | None, lane: str, file: Path | None
) -> None:
    """Show how the live traffic of MODEL stands to what the model was trained on."""
    report = read_report(
        open_registry(data_dir), model, read_period(window),
        at=now(), version=version, lane=Lane(lane),
    )  # fmt: skip
    print_report(Console(width=None if sys.stdout.isatty() else PIPE_WIDTH), report)
    if file is not None:
        try:
            file.write_bytes(write_page(report))
        except OSError as error:
            fault = f"{str(file)!r} cannot be written: {error.strerror}."
            raise click.ClickException(fault) from error
        click.echo(f"{file} is the report as a page.")


@click.command("drift-policy")
@data_dir_option
@click.argument("model")
@policy_option
def drift_policy(data_dir: Path, model: str, policy: IO[bytes] | None) -> None:
    """Show what is done where the traffic of MODEL leaves its reference, or set it."""
    registry = open_registry(data_dir)
    registry.versions(model)
    if policy is not None:
        given = read_policy(policy, DriftPolicy, "drift")
        drift.set_drift_policy(registry, model, given, local_author())
    print_json(policy_of(registry.store, model))


@click.command("findings")
@data_dir_option
@click.argument("model")
@click.option("--close", "finding", help="The id of a finding to close.")
@click.option("--reason", help="Why it is closed; it is recorded.")
def findings(data_dir: Path, model: str, finding: str | None, reason: str | None) -> None:
    """List what was found in the traffic of MODEL, or close one of it."""
    if (finding is None) != (reason is None):
        raise click.UsageError("Give --close and --reason together, or neither.")
    registry = open_registry(data_dir)
    if finding is not None and reason is not None:
        drift.close_finding(registry, model, finding, reason, local_author())
    print_table(
        ("id", "version", "feature", "statistic", "expected", "observed", "since", "state"),
        (
            (
                one.id, one.version, one.feature, one.statistic, f"{one.expected:.1%}",
                f"{one.observed:.1%}", one.since, one.state,
            )
            for one in drift.findings(registry, model)
        ),
    )  # fmt: skip
