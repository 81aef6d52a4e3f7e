"""`registry`: publish, show and move versions in a data directory; no server needs to run."""

import importlib
from datetime import datetime
from pathlib import Path

import click
import msgspec

from registry.console import Commands, data_dir_option, local_author, open_registry, print_table
from registry.errors import Rejected, clip
from registry.integrity import inspect_versions
from registry.manifest import Contract, Draft, SampleTensor
from registry.names import check_model_name, check_reason
from registry.registry import Registry
from registry.show import print_origin, print_summary
from registry.times import as_utc
from registry.versions import CHAMPION, AliasChange

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

reason_option = click.option("--reason", required=True, help="Why; it is recorded.")


def _read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else as_utc(datetime.fromisoformat(value))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time such as 2026-01-31T12:00:00.") from None


@click.group(cls=Commands)
def main() -> None:
    """Publish versioned ONNX models, and decide which of them is live."""


@main.command()
@click.argument("model_file", metavar="MODEL.onnx", type=_FILE)
@data_dir_option
@click.option("--name", required=True, help="Name of the model.")
@click.option(
    "--reference", type=_FILE, help="Training data (.csv, .parquet, .npz): reference and contract."
)
@click.option("--contract", type=_FILE, help="Rules as JSON, in place of those of the reference.")
@click.option(
    "--sample", type=_FILE, help="An inference request as JSON, on which the model must run."
)
@click.option("--description", default="", help="What this version is.")
@click.option("--promote", is_flag=True, help="Make it the champion at once.")
@click.option("--reason", help="Why it is promoted; it is recorded.")
def publish(  # noqa: PLR0917 - click passes them by name
    model_file: Path,
    data_dir: Path,
    name: str,
    reference: Path | None,
    contract: Path | None,
    sample: Path | None,
    description: str,
    promote: bool,
    reason: str | None,
) -> None:
    """Publish an ONNX file as the next version of a model."""
    if promote != (reason is not None):
        raise click.ClickException("Give --promote and --reason together, or neither.")
    # Asked first, so that no version is left behind that was to be promoted.
    check_model_name(name)
    if reason is not None:
        check_reason(reason)
    artifact, draft = _read_draft(model_file, reference, description)
    if contract is not None:
        draft = msgspec.structs.replace(draft, contract=_read_contract(contract))
    if sample is not None:
        draft = msgspec.structs.replace(draft, sample=_read_sample(sample))
    registry = open_registry(data_dir, create=True)
    version = registry.publish(name, artifact, draft, local_author())
    if reason is not None:
        registry.promote(name, version.number, reason, local_author())
    print_summary(version, registry.manifest(version), _aliases(registry, name, version.number))


@main.command("list")
@click.argument("name", required=False)
@data_dir_option
def list_versions(name: str | None, data_dir: Path) -> None:
    """List the versions of one model, or of all."""
    registry = open_registry(data_dir)
    models = registry.store.models() if name is None else [name]
    print_table(
        ("model", "version", "state", "aliases", "author", "created", "digest"),
        (
            (
                version.model,
                version.number,
                version.state,
                ", ".join(_aliases(registry, model, version.number)),
                version.author,
                version.created,
                version.artifact,
            )
            for model in models
            for version in registry.versions(model)
        ),
    )


@main.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir_option
def show(name: str, version: int, data_dir: Path) -> None:
    """Show everything that a version keeps."""
    registry = open_registry(data_dir)
    found = registry.version(name, version)
    manifest = registry.manifest(found)
    print_summary(found, manifest, _aliases(registry, name, version))
    print_origin(manifest)


@main.command()
@click.argument("name")
@data_dir_option
@click.option(
    "--at",
    metavar="TIME",
    callback=_read_moment,
    help="Say only what was live then; ISO 8601, in UTC where it names no zone.",
)
def history(name: str, data_dir: Path, at: datetime | None) -> None:
    """Show who made what live, when and why."""
    registry = open_registry(data_dir)
    if at is None:
        registry.versions(name)
        changes = registry.store.alias_changes(name)
    else:
        change = registry.live_at(name, at).change
        if change is None:
            click.echo(f"No version of {name} was champion then.")
            return
        changes = [change]
    print_table(
        ("time", "alias", "version", "by", "principal", "reason", "record"),
        (
            (one.at, one.alias, one.version, one.cause, one.principal, one.reason, one.record_id)
            for one in changes
        ),
    )


@main.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir_option
@reason_option
@click.option("--by-force", is_flag=True, help="Also while findings of the champion hold it.")
def promote(name: str, version: int, data_dir: Path, reason: str, *, by_force: bool) -> None:
    """Make a version the champion; a running gateway serves it within a second."""
    registry = open_registry(data_dir)
    _say(registry.promote(name, version, reason, local_author(), by_force=by_force))


@main.command()
@click.argument("name")
@data_dir_option
@reason_option
@click.option("--version", type=int, help="An earlier champion; the last one, if not given.")
def rollback(name: str, data_dir: Path, reason: str, version: int | None) -> None:
    """Put the previous champion back, at once."""
    _say(open_registry(data_dir).roll_back(name, reason, local_author(), version))


@main.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=int)
@data_dir_option
@reason_option
def alias(name: str, alias: str, version: int, data_dir: Path, reason: str) -> None:
    """Let an alias of your own name a version."""
    _say(open_registry(data_dir).point_alias(name, alias, version, reason, local_author()))


@main.command()
@click.argument("name")
@click.argument("alias")
@data_dir_option
@reason_option
def unalias(name: str, alias: str, data_dir: Path, reason: str) -> None:
    """Let an alias name nothing any more."""
    _say(open_registry(data_dir).remove_alias(name, alias, reason, local_author()))


@main.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir_option
@reason_option
def retire(name: str, version: int, data_dir: Path, reason: str) -> None:
    """End a version that no alias names."""
    open_registry(data_dir).retire(name, version, reason, local_author())
    click.echo(f"Version {version} of {name} is retired.")


@main.command()
@data_dir_option
def check(data_dir: Path) -> None:
    """Read every artifact and manifest; end with status 1 if one is damaged."""
    found = inspect_versions(open_registry(data_dir))
    for flaw in found.flaws:
        version = flaw.version
        click.echo(f"{version.model} {version.number}, {flaw.part}: {flaw.fault}")
    if found.flaws:
        raise click.ClickException(f"Of {found.versions} versions, some are damaged.")
    click.echo(f"All {found.versions} versions are whole.")


def _say(change: AliasChange) -> None:
    what = "nothing" if change.version is None else f"version {change.version}"
    alias = "champion" if change.alias == CHAMPION else f"alias {change.alias}"
    click.echo(f"The {alias} of {change.model} is {what} now (record {change.record_id}).")


def _aliases(registry: Registry, model: str, number: int) -> list[str]:
    return [alias for alias, named in registry.store.aliases(model).items() if named == number]


def _read_draft(model_file: Path, reference: Path | None, description: str) -> tuple[bytes, Draft]:
    if reference is None:
        try:
            return model_file.read_bytes(), Draft(description=description)
        except OSError as error:
            raise Rejected("artifact", f"{model_file.name!r} cannot be read.") from error
    try:
        # It needs pyarrow, which nothing else here does.
        publishing = importlib.import_module("registry.publishing.onnx")
    except ImportError as error:
        raise click.ClickException(
            "Reading a reference needs more packages: pip install 'governed-gateway[publish]'."
        ) from error
    drafted: tuple[bytes, Draft] = publishing.draft_from_file(model_file, reference, description)
    return drafted


def _read_contract(path: Path) -> Contract:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Contract)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path.name!r} is no contract: {clip(str(error), 200)}"
        raise Rejected("contract", message) from error


class _Request(msgspec.Struct):
    inputs: tuple[SampleTensor, ...]


def _read_sample(path: Path) -> tuple[SampleTensor, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Request).inputs
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{path.name!r} is no inference request: {clip(str(error), 200)}"
        raise Rejected("sample", message) from error


if __name__ == "__main__":
    main()
