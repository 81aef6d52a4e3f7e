"""`registry`: publish, show and move versions in a data directory; no server needs to run."""

from datetime import datetime
from pathlib import Path

import click
from msgspec.structs import replace

from registry import promoting
from registry.audit.summary import count_rules
from registry.console import Commands, data_dir_option, local_author, open_registry, print_table
from registry.contract_cli import FILE, contract
from registry.contract_file import ContractFile, read_contract
from registry.draft_files import read_draft, read_sample
from registry.errors import ContractRejected, PromotionHeld
from registry.integrity import inspect_versions
from registry.lifecycle import first_named, warm_up_ends
from registry.manifest import Draft
from registry.names import check_model_name, check_reason
from registry.promotion_case import promotion_policy
from registry.registry import Registry
from registry.show import print_move, print_origin, print_rule_counts, print_summary
from registry.times import as_utc, now
from registry.versions import Version

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
@click.argument("model_file", metavar="MODEL.onnx", type=FILE)
@data_dir_option
@click.option("--name", required=True, help="Name of the model.")
@click.option(
    "--reference", type=FILE, help="Training data (.csv, .parquet, .npz): reference and contract."
)
@click.option(
    "--holdout",
    type=FILE,
    help="Rows like those, not trained on: what the model answers on them joins the reference.",
)
@click.option(
    "--contract",
    "contract_path",
    type=FILE,
    help="Rules (.toml, .json), in place of those of the reference.",
)
@click.option(
    "--warm-up",
    "warm_up_s",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long its rules only observe once it is live; an hour for rules of a reference.",
)
@click.option(
    "--sample", type=FILE, help="An inference request as JSON, on which the model must run."
)
@click.option("--description", default="", help="What this version is.")
@click.option("--promote", is_flag=True, help="Make it the champion at once.")
@click.option("--reason", help="Why it is promoted; it is recorded.")
def publish(  # noqa: PLR0917 - click passes them by name
    model_file: Path,
    data_dir: Path,
    name: str,
    reference: Path | None,
    holdout: Path | None,
    contract_path: Path | None,
    warm_up_s: float | None,
    sample: Path | None,
    description: str,
    promote: bool,
    reason: str | None,
) -> None:
    """Publish an ONNX file as the next version of a model."""
    if promote != (reason is not None):
        raise click.ClickException("Give --promote and --reason together, or neither.")
    if holdout is not None and reference is None:
        raise click.ClickException("Give --holdout together with --reference.")
    # Asked first, so that no version is left behind that was to be promoted.
    check_model_name(name)
    if reason is not None:
        check_reason(reason)
    artifact, draft = read_draft(model_file, reference, description, holdout=holdout)
    file = None if contract_path is None else read_contract(contract_path)
    if file is not None:
        draft = replace(draft, contract=file.contract)
    if warm_up_s is not None:
        draft = replace(draft, contract=replace(draft.contract, warm_up_s=warm_up_s))
    if sample is not None:
        draft = replace(draft, sample=read_sample(sample))
    registry = open_registry(data_dir, create=True)
    version = _publish(registry, name, artifact, draft, file)
    if reason is not None:
        _promote(registry, name, version.number, reason)
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
    named = first_named(registry.store.alias_changes(name), registry.store.rollouts(name)).get(
        version
    )
    print_summary(found, manifest, _aliases(registry, name, version))
    print_rule_counts(
        count_rules(registry.store, found, now()), warm_up_ends(manifest.contract, named)
    )
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
@click.option("--by-force", is_flag=True, help="Past what the policy asks, if you may; it is told.")
def promote(name: str, version: int, data_dir: Path, reason: str, *, by_force: bool) -> None:
    """Make a version the champion; a running gateway serves it within a second.

    Where the model's policy wants another person to approve, it is asked for. Ground truth, where
    the policy wants that, is read by `gateway promotions request` alone.
    """
    _promote(open_registry(data_dir), name, version, reason, by_force=by_force)


@main.command()
@click.argument("name")
@data_dir_option
@reason_option
@click.option("--version", type=int, help="An earlier champion; the last one, if not given.")
def rollback(name: str, data_dir: Path, reason: str, version: int | None) -> None:
    """Put the previous champion back, at once."""
    print_move(open_registry(data_dir).roll_back(name, reason, local_author(), version))


@main.command()
@click.argument("name")
@click.argument("alias")
@click.argument("version", type=int)
@data_dir_option
@reason_option
def alias(name: str, alias: str, version: int, data_dir: Path, reason: str) -> None:
    """Let an alias of your own name a version."""
    print_move(open_registry(data_dir).point_alias(name, alias, version, reason, local_author()))


@main.command()
@click.argument("name")
@click.argument("alias")
@data_dir_option
@reason_option
def unalias(name: str, alias: str, data_dir: Path, reason: str) -> None:
    """Let an alias name nothing any more."""
    print_move(open_registry(data_dir).remove_alias(name, alias, reason, local_author()))


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


main.add_command(contract)


def _aliases(registry: Registry, model: str, number: int) -> list[str]:
    return [alias for alias, named in registry.store.aliases(model).items() if named == number]


def _promote(
    registry: Registry, name: str, number: int, reason: str, *, by_force: bool = False
) -> None:
    """Promote or ask for it, and say of a policy with ground truth, which is not read here, how."""
    try:
        print_move(promoting.ask(registry, name, number, reason, local_author(), by_force=by_force))
    except PromotionHeld as held:
        if not promotion_policy(registry.store, name).truth:
            raise
        raise click.ClickException(
            f"Version {number} of {name!r} is not promoted: its policy asks for metrics of ground"
            f" truth, which this command does not read. Ask with `gateway promotions request {name}"
            f" {number} --reason …`, which does, and says what else may be lacking."
        ) from held


def _publish(
    registry: Registry,
    name: str,
    artifact: bytes,
    draft: Draft,
    file: ContractFile | None,
) -> Version:
    """Publish, and say of a fault in the contract where in its file it is."""
    try:
        return registry.publish(name, artifact, draft, local_author())
    except ContractRejected as fault:
        if file is None:
            raise
        raise file.locate(fault) from fault


if __name__ == "__main__":
    main()
