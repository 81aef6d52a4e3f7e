"""`registry`: publish versions, see what there is and was, and move what is live."""

import importlib
from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from registry import show
from registry.admission.admit import MAX_ARTIFACT_BYTES
from registry.console import Commands, data_dir, local_author, open_registry
from registry.errors import Damaged, NotFound, Rejected
from registry.records import AliasChange, Contract, Draft
from registry.times import as_utc

_CONSOLE = Console()

reason = click.option("--reason", required=True, help="Why; it is kept with the change.")


@click.group(cls=Commands)
def main() -> None:
    """Keep versioned ONNX models and the history of what was live."""


@main.command()
@click.argument("model_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the model.")
@data_dir
@click.option(
    "--reference",
    "reference_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Training data (.csv, .parquet or .npz): reference and contract are derived from it.",
)
@click.option(
    "--contract",
    "contract_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Contract as JSON, in place of the derived one.",
)
@click.option("--description", default="", help="What the model is for.")
@click.option("--promote", is_flag=True, help="Make the version the champion.")
@click.option("--reason", help="Why it is promoted.")
def publish(  # noqa: PLR0917 - click passes them by name
    model_file: Path,
    name: str,
    data_dir: Path,
    reference_file: Path | None,
    contract_file: Path | None,
    description: str,
    promote: bool,
    reason: str | None,
) -> None:
    """Publish an ONNX file as the next version of a model."""
    if promote and not reason:
        raise click.UsageError("--promote needs --reason.")
    artifact, draft = _read_draft(model_file, reference_file, description)
    if contract_file is not None:
        draft = msgspec.structs.replace(draft, contract=_read_contract(contract_file))
    registry = open_registry(data_dir)
    version = registry.publish(name, artifact, draft, local_author())
    _CONSOLE.print(show.version_table(version, registry.manifest(version)))
    if promote and reason:
        registry.promote(name, version.number, reason, local_author())
        click.echo(f"Version {version.number} of {name} is the champion.")


@main.command("list")
@click.argument("name", required=False)
@data_dir
def list_versions(name: str | None, data_dir: Path) -> None:
    """List models and their versions."""
    registry = open_registry(data_dir)
    models = registry.store.models() if name is None else [name]
    table = Table("model", "version", "aliases", "state", "author", "created", "artifact")
    for model in models:
        aliases = registry.store.aliases(model)
        for version in registry.versions(model):
            names = [alias for alias, number in aliases.items() if number == version.number]
            table.add_row(
                model,
                str(version.number),
                ", ".join(names),
                version.state,
                version.author,
                version.created.isoformat(" ", "seconds"),
                version.artifact[:19],
            )
    _CONSOLE.print(table)


@main.command("show")
@click.argument("name")
@click.argument("version", type=int)
@data_dir
def show_version(name: str, version: int, data_dir: Path) -> None:
    """Show everything that a version keeps."""
    registry = open_registry(data_dir)
    found = registry.version(name, version)
    manifest = registry.manifest(found)
    _CONSOLE.print(show.version_table(found, manifest))
    for table in show.manifest_tables(manifest):
        _CONSOLE.print(table)


@main.command()
@click.argument("name")
@data_dir
@click.option("--at", type=click.DateTime(), help="Say what was live at this time (UTC).")
def history(name: str, data_dir: Path, at: datetime | None) -> None:
    """Show who changed what was live, when and why."""
    registry = open_registry(data_dir)
    registry.versions(name)
    if at is None:
        _CONSOLE.print(show.history_table(registry.store.alias_changes(name)))
        return
    live = registry.live_at(name, as_utc(at))
    if live.change is None:
        click.echo(f"No version of {name} was champion then.")
        return
    _CONSOLE.print(show.history_table([live.change]))


@main.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir
@reason
def promote(name: str, version: int, data_dir: Path, reason: str) -> None:
    """Make a version the champion."""
    _tell(open_registry(data_dir).promote(name, version, reason, local_author()))


@main.command()
@click.argument("name")
@click.option("--version", type=int, help="An earlier champion; the previous one, if not given.")
@data_dir
@reason
def rollback(name: str, version: int | None, data_dir: Path, reason: str) -> None:
    """Put an earlier champion back."""
    _tell(open_registry(data_dir).roll_back(name, reason, local_author(), version))


@main.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=int)
@data_dir
@reason
def alias(name: str, alias: str, version: int, data_dir: Path, reason: str) -> None:
    """Let an alias of your own name a version, which is served from then on."""
    _tell(open_registry(data_dir).point_alias(name, alias, version, reason, local_author()))


@main.command()
@click.argument("name")
@click.argument("alias")
@data_dir
@reason
def unalias(name: str, alias: str, data_dir: Path, reason: str) -> None:
    """Let an alias name nothing any more."""
    _tell(open_registry(data_dir).remove_alias(name, alias, reason, local_author()))


@main.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir
@reason
def retire(name: str, version: int, data_dir: Path, reason: str) -> None:
    """End a version that no alias names."""
    open_registry(data_dir).retire(name, version, reason, local_author())
    click.echo(f"Version {version} of {name} is retired.")


@main.command()
@data_dir
def check(data_dir: Path) -> None:
    """Read every artifact and manifest, and say which are not what was stored."""
    registry = open_registry(data_dir)
    checked = 0
    faults: list[str] = []
    for model in registry.store.models():
        for version in registry.versions(model):
            for digest in (version.artifact, version.manifest):
                checked += 1
                try:
                    registry.artifacts.read(digest)
                except (Damaged, NotFound) as error:
                    faults.append(f"{model} {version.number}: {error}")
    for fault in faults:
        click.echo(fault, err=True)
    click.echo(f"{checked} files checked, {len(faults)} damaged.")
    if faults:
        raise SystemExit(1)


def _read_draft(
    model_file: Path, reference_file: Path | None, description: str
) -> tuple[bytes, Draft]:
    if reference_file is None:
        if model_file.stat().st_size > MAX_ARTIFACT_BYTES:
            raise Rejected("size", f"{model_file.name} is larger than an artifact may be.")
        return model_file.read_bytes(), Draft(description=description)
    try:
        # It reads tables with pyarrow, which serving does without.
        publishing = importlib.import_module("registry.publishing.onnx")
    except ModuleNotFoundError as error:
        message = f"Install the extra `publish` to read training data: {error.name} is missing."
        raise click.ClickException(message) from error
    read: tuple[bytes, Draft] = publishing.draft_from_file(model_file, reference_file, description)
    return read


def _read_contract(path: Path) -> Contract:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contract)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("contract", f"{path.name} cannot be read: {error}") from error


def _tell(change: AliasChange) -> None:
    named = "nothing" if change.version is None else f"version {change.version}"
    click.echo(f"The alias {change.alias} of {change.model} names {named}.")


if __name__ == "__main__":
    main()
