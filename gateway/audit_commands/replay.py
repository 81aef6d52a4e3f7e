"""`gateway audit replay`: many records run again, and what came of it."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from gateway.replay.asking import Asking, record_replays
from gateway.replay.engines import Sessions
from gateway.replay.summary import Summary, summarise
from registry.audit.query import AuditTrail
from registry.console import data_dir_option, local_author, open_registry, print_table
from registry.records import RecordFilter
from registry.times import as_utc, now

T = TypeVar("T")

_PROGRESS_EVERY_S = 0.5
_DEADLINE_S = 10.0


@click.command("replay")
@data_dir_option
@click.option("--model", required=True)
@click.option("--from", "since", type=click.DateTime(), help="UTC; from this time on.")
@click.option("--to", "until", type=click.DateTime(), help="UTC; before this time, or until now.")
@click.option("--version", type=click.IntRange(1), help="Ask this version instead.")
@click.option("--limit", type=click.IntRange(1), help="The newest records alone, so many.")
@click.option("--json", "as_json", is_flag=True, help="Write the summary as JSON.")
def replay_records(  # noqa: PLR0917 - click passes them by name
    data_dir: Path,
    model: str,
    since: datetime | None,
    until: datetime | None,
    version: int | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """Run recorded inputs again, newest first, and compare every bit of the answers.

    Ends with status 1 where an answer differs from the recorded one, or where a payload is not what
    its record commits to. With --version, differences are what is asked for, and the status is 0.
    """
    registry = open_registry(data_dir)
    registry.versions(model)
    wanted = RecordFilter(
        model=model,
        since=None if since is None else as_utc(since),
        until=now() if until is None else as_utc(until),
    )
    engine = Sessions(registry.artifacts, _DEADLINE_S)
    asking = Asking(registry, AuditTrail(registry.store, data_dir / "journal"), engine)
    try:
        summary = summarise(with_progress(asking.ask_all(wanted, limit, version)))
    finally:
        engine.close()
    said = ", ".join(f"{count} {result}" for result, count in summary.results.items())
    record_replays(registry, local_author(), model=model, version=version, said=said or "none")
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        _print(summary)
    if not summary.is_clean:
        sys.exit(1)


def with_progress(replays: Iterator[T]) -> Iterator[T]:
    """Say on a terminal how many are done, once in a while."""
    started = told = time.monotonic()
    for count, replay in enumerate(replays, 1):
        yield replay
        if time.monotonic() - told > _PROGRESS_EVERY_S and sys.stderr.isatty():
            told = time.monotonic()
            rate = count / (told - started)
            click.echo(f"\r{count:,} records, {rate:,.0f}/s ", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)


def _print(summary: Summary) -> None:
    rows = [(result, "", f"{count:,}") for result, count in sorted(summary.results.items())]
    rows += [("", reason, f"{count:,}") for reason, count in sorted(summary.reasons.items())]
    rows.append(("all", "", f"{summary.records:,}"))
    print_table(("result", "reason", "records"), rows, "Replay")
    if summary.changed_labels:
        click.echo(f"{summary.changed_labels:,} labels differ.")
    if summary.worst:
        print_table(
            ("record", "output", "differing", "beyond", "largest", "ulps", "labels", "mismatch"),
            (
                (one.record_id, d.output, f"{d.differing:,} of {d.elements:,}", f"{d.beyond:,}",
                 d.max_absolute, d.max_ulps, d.changed_labels, d.mismatch)
                for one in summary.worst
                for d in (one.distance,)
            ),
            "The worst differences",
        )  # fmt: skip
