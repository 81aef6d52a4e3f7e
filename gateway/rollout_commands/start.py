"""`gateway rollout start`: a challenger meets traffic, as a file says."""

from pathlib import Path

import click

from gateway.latency_edges import measure_edges
from gateway.metrics.slots import Slots
from gateway.metrics.snapshot import total
from gateway.settings import Settings
from registry import rolling_out
from registry.console import data_dir_option, local_author, open_registry
from registry.errors import RegistryError
from registry.rollout_file import read_rollout_file
from registry.versions import CHAMPION


@click.command("start")
@data_dir_option
@click.argument("model")
@click.option(
    "--plan",
    "plan_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Challenger, stages and guards (.toml, .json).",
)
@click.option("--reason", required=True, help="Why it is started; it is recorded.")
def start(data_dir: Path, model: str, plan_path: Path, reason: str) -> None:
    """Let a version meet the traffic of MODEL, and print the id of the rollout."""
    registry = open_registry(data_dir)
    file = read_rollout_file(plan_path)
    counts = total(Slots(Settings(data_dir=data_dir).metrics_dir).read_all())
    champion = registry.store.aliases(model).get(CHAMPION)
    edges_us = measure_edges(file.plan, model, champion, counts)
    try:
        rollout = rolling_out.start(
            registry, model, file.plan, reason, local_author(), edges_us=edges_us
        )
    except RegistryError as fault:
        raise file.locate(fault) from fault
    click.echo(
        f"Version {rollout.plan.challenger} of {model} meets champion {rollout.champion} in"
        f" {rollout.stage_name}.",
        err=True,
    )
    click.echo(rollout.id)
