"""`gateway demo`: trains three models of real flights, serves, and tells the story of them."""

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.demo.by_hand import print_commands
from gateway.demo.flights import VERSION_1_MONTHS, VERSION_2_MONTHS, VERSION_3_SHUFFLED, train
from gateway.demo.replay import MODEL
from gateway.demo.report import Summary
from gateway.demo.served import DEMO, Gateway, make_cast, serving
from gateway.demo.story import Models, Story
from registry.artifacts import Artifacts
from registry.registry import Registry
from registry.store import open_store

_BROKEN_ROWS = 40_000  # it is broken, so it need not learn from all
_CONSOLE = Console()


@click.command()
@click.option("--once", is_flag=True, help="End after the story, with 0 if all went as it should.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--rows",
    default=2000,
    show_default=True,
    type=click.IntRange(500, 5000),
    help="Flights to replay before the first rollout.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1))
def demo(once: bool, port: int, rows: int, workers: int) -> None:
    """Train on real flights, serve, roll out on evidence, catch a broken version, and audit."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        registry = Registry(open_store(Path(folder)), Artifacts(Path(folder) / "artifacts"))
        with _progress() as progress:
            models = _train(progress)
            cast = make_cast(registry)
            version = registry.publish(MODEL, *models.first, DEMO)
            registry.promote(MODEL, version.number, "first model", DEMO)
            with serving(Path(folder), port, workers) as url:
                summary = Summary(progress.console)
                Story(Gateway(url, cast, progress), summary).play(models, rows)
                progress.stop()
                kept = sum(check.holds for check in summary.checks)
                took_s = time.monotonic() - started
                _CONSOLE.print(f"\n{kept} of {len(summary.checks)} as promised, in {took_s:.0f} s.")
                if not once:
                    print_commands(_CONSOLE, url, cast)
                    _wait_for_interrupt()
        registry.store.close()
    if not summary.is_kept:
        sys.exit(1)


def _train(progress: Progress) -> Models:
    task = progress.add_task("Training on real flights", total=3)
    trained = []
    for wanted in (
        {"months": VERSION_1_MONTHS},
        {"months": VERSION_2_MONTHS},
        {"months": VERSION_2_MONTHS, "rows": _BROKEN_ROWS, "shuffled": VERSION_3_SHUFFLED},
    ):
        trained.append(train(**wanted))
        progress.advance(task)
    progress.remove_task(task)
    return Models(*trained)


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        _CONSOLE.print("Stopping.")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_CONSOLE,
    )
