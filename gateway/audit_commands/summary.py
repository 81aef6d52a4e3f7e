"""`gateway audit summary`: how many records of each hour or day were alike."""

from datetime import datetime
from pathlib import Path

import click

from gateway.audit_commands.filters import as_query, since_option, until_option
from registry.audit.summary import By, Line, summarise
from registry.console import data_dir_option, open_registry, print_table, record_read
from registry.times import now

_WIDEST_BAR = 20


@click.command("summary")
@data_dir_option
@click.option("--model")
@since_option
@until_option
@click.option("--by", type=click.Choice(By, case_sensitive=False), default=By.DAY)
def show_summary(
    data_dir: Path, model: str | None, since: datetime | None, until: datetime | None, by: By
) -> None:
    """Count records by whole hours or days, UTC."""
    registry = open_registry(data_dir)
    lines = summarise(registry.store, by=by, since=since, until=until or now(), model=model)
    query = as_query(model=model, since=since, until=until, by=by.value)
    record_read(registry, "gateway audit summary", query, 0)
    most = max((line.records for line in lines), default=1)
    print_table(
        (by.value, "kind", "model", "lane", "outcome", "records", "", "what"),
        (_row(line, by, most) for line in lines),
    )


def _row(line: Line, by: By, most: int) -> tuple[object, ...]:
    length = 10 if by is By.DAY else 16
    return (
        line.start.isoformat(" ")[:length],
        line.kind,
        "" if line.model is None else f"{line.model} {line.version or ''}",
        line.lane,
        line.outcome,
        f"{line.records:,}",
        "▇" * max(1, round(line.records / most * _WIDEST_BAR)),
        ", ".join(_what(line)),
    )


def _what(line: Line) -> list[str]:
    met = {**line.errors, **line.violations}
    met |= {f"{rule} (flagged)": count for rule, count in line.flags.items()}
    met |= {f"{rule} (observed)": count for rule, count in line.observed.items()}
    met |= {f"{rule} (repaired)": count for rule, count in line.repaired.items()}
    return [f"{name} {count:,}" for name, count in met.items()]
