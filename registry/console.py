"""What both command lines share: the data directory, its registry, and errors in one line."""

import getpass
from pathlib import Path
from typing import Any

import click

from registry.artifacts import Artifacts
from registry.errors import RegistryError
from registry.registry import Author, Registry
from registry.store import open_store

DEFAULT_DATA_DIR = Path("data")

data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    envvar="GATEWAY_DATA_DIR",
    help="Folder with everything the gateway keeps.",
)


class Commands(click.Group):
    """A group of commands that tells a refusal in one line and exits with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RegistryError as error:
            raise click.ClickException(str(error)) from error


def local_author() -> Author:
    """Name the operating system's user, who has the data directory and so needs no key."""
    return Author(principal=f"local:{getpass.getuser()}")


def open_registry(folder: Path) -> Registry:
    """Open the registry of a data directory, made where there is none."""
    return Registry(open_store(folder), Artifacts(folder / "artifacts"))
