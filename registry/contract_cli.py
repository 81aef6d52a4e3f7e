"""`registry contract`: contracts as files that people edit."""

from pathlib import Path

import click

from registry.console import Commands, data_dir_option, open_registry
from registry.contract_file import write_contract
from registry.draft_files import read_draft

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Commands)
def contract() -> None:
    """Write the contract of a version, or of training data, as TOML to edit and publish."""


@contract.command()
@click.argument("name")
@click.argument("version", type=int)
@data_dir_option
def show(name: str, version: int, data_dir: Path) -> None:
    """Write the contract of a version."""
    registry = open_registry(data_dir)
    found = registry.manifest(registry.version(name, version)).contract
    click.echo(write_contract(found), nl=False)


@contract.command()
@click.argument("model_file", metavar="MODEL.onnx", type=FILE)
@click.option("--reference", type=FILE, required=True, help="Training data (.csv, .parquet, .npz).")
def derive(model_file: Path, reference: Path) -> None:
    """Write the contract that training data suggests for a model."""
    _, draft = read_draft(model_file, reference)
    click.echo(write_contract(draft.contract), nl=False)
