"""`gateway contract rehearse`: a contract held against recorded requests."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec

from gateway.audit_commands.filters import as_query, since_option, until_option
from gateway.rehearsal import Line, Rehearsal, Rehearsing, recorded_requests
from registry.audit.query import AuditTrail
from registry.console import data_dir_option, open_registry, print_table, record_read
from registry.contract_file import read_contract
from registry.errors import ContractRejected
from registry.records import Kind, RecordFilter
from registry.registry import Registry
from registry.rules import check_rules
from registry.times import now
from registry.versions import CHAMPION, Version


@click.command("rehearse")
@data_dir_option
@click.option("--model", required=True)
@click.option(
    "--contract",
    "contract_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The rules to rehearse (.toml, .json).",
)
@since_option
@until_option
@click.option(
    "--version",
    type=click.IntRange(1),
    help="Whose signature and reference hold; the champion's, if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Write what was found as JSON.")
def rehearse(  # noqa: PLR0917 - click passes them by name
    data_dir: Path,
    model: str,
    contract_path: Path,
    since: datetime | None,
    until: datetime | None,
    version: int | None,
    *,
    as_json: bool,
) -> None:
    """Say what a contract would have done to recorded requests, beside what was done to them.

    Every rule acts as it declares: warm-up and cap keep none from it.
    """
    registry = open_registry(data_dir)
    chosen = _version(registry, model, version)
    manifest = registry.manifest(chosen)
    file = read_contract(contract_path)
    try:
        check_rules(manifest.signature, file.contract, manifest.reference)
    except ContractRejected as fault:
        raise file.locate(fault) from fault
    wanted = RecordFilter(model=model, kind=Kind.INFERENCE, since=since, until=until or now())
    rehearsing = Rehearsing(manifest.signature, file.contract, manifest.reference)
    trail = AuditTrail(registry.store, data_dir / "journal")
    found = rehearsing.rehearse(recorded_requests(trail, wanted))
    query = as_query(model=model, version=chosen.number, since=since, until=until)
    record_read(registry, "gateway contract rehearse", query, found.judged)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print(found, chosen)


def _version(registry: Registry, model: str, number: int | None) -> Version:
    """Find the version that is asked for: the champion, or the newest where there is none."""
    if number is not None:
        return registry.version(model, number)
    versions = registry.versions(model)
    champion = registry.store.aliases(model).get(CHAMPION)
    return versions[-1] if champion is None else registry.version(model, champion)


def _print(found: Rehearsal, version: Version) -> None:
    click.echo(
        f"{found.judged:,} of {found.records:,} requests to {version.model} were judged by the"
        f" signature of version {version.number}."
    )
    for reason, count in sorted(found.unjudged.items()):
        click.echo(f"Not judged, {reason}: {count:,}.")
    click.echo(f"Refused: {found.refused:,} by these rules, {found.refused_then:,} as recorded.")
    _print_lines("These rules", found.rehearsed)
    _print_lines("As recorded", found.recorded)


def _print_lines(title: str, lines: Sequence[Line]) -> None:
    if not lines:
        click.echo(f"{title}: no rule was broken.")
        return
    print_table(
        ("done", "rule", "requests", "such as"),
        ((one.effect, one.rule, f"{one.records:,}", ", ".join(one.examples)) for one in lines),
        title,
    )
