"""What the commands `registry` and `gateway` have in common: where the data is, who asks, how
answers and faults look in a terminal.
"""

import os
import pwd
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from registry.artifacts import Artifacts
from registry.audit.reads import read_record
from registry.errors import InvalidRequest, RegistryError
from registry.recording import Author
from registry.registry import Registry
from registry.store import open_store

_Policy = TypeVar("_Policy")

DATA_DIR = Path("data")
# Wide enough that nothing is cut where another program reads.
PIPE_WIDTH = 10_000
# What lines and blanks take in a table: at its edge, and beside the cell of each column.
_EDGE = 1
_BETWEEN = 3

# Names the file of the key that payloads of persons are sealed with, if it is kept elsewhere.
PAYLOAD_KEY_VARIABLE = "GATEWAY_PAYLOAD_KEY"

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    envvar="GATEWAY_DATA_DIR",
    help="Folder with everything the gateway keeps.",
)

log_key_option = click.option(
    "--log-key",
    type=click.Path(dir_okay=False, resolve_path=True, path_type=Path),
    envvar="GATEWAY_LOG_KEY",
    help="File with the private key of the log; log.key in the data directory, if not given.",
)


policy_option = click.option(
    "--set", "policy", type=click.File("rb"), help="A policy as JSON; - reads it."
)


class Commands(click.Group):
    """A group that says what went wrong in one line, and ends with status 1 then."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RegistryError as error:
            raise click.ClickException(str(error)) from error


def open_registry(data_dir: Path, *, create: bool = False) -> Registry:
    """Open the registry of a data directory; a mistyped one is made only where `create` says so."""
    if not create and not data_dir.is_dir():
        raise click.ClickException(f"There is no data directory {str(data_dir)!r}.")
    store = open_store(data_dir, payload_key_file())
    return Registry(store, Artifacts(data_dir / "artifacts"))


def payload_key_file() -> Path | None:
    """Name the file that seals payloads of persons, where it is not in the data directory."""
    name = os.environ.get(PAYLOAD_KEY_VARIABLE)
    return Path(name) if name else None


def local_author() -> Author:
    """Name the operating system's user, who has the data directory and so needs no key.

    The system is asked, not the environment, which anybody can set.
    """
    user_id = os.getuid()
    try:
        name = pwd.getpwuid(user_id).pw_name
    except KeyError:  # a container's user often has a number alone
        name = str(user_id)
    return Author(principal=f"local:{name}")


def record_read(registry: Registry, command: str, subject: str, rows: int | None) -> None:
    """Record that the local user read audit data, before any of it is shown."""
    record = read_record(command, subject, rows=rows, principal=local_author().principal)
    with registry.store.write() as tx:
        tx.append(record)


def read_policy(file: IO[bytes], kind: type[_Policy], called: str) -> _Policy:
    """Read a policy of people, written as JSON. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(file.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("policy", f"This is no {called} policy: {error}.") from error


def print_json(value: object) -> None:
    """Print a value as JSON that people can read, and programs too."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], title: str = "") -> None:
    """Print rows as a table; None is left blank.

    Where a terminal has no room for the longest word of every column, each row is a list: a table
    would cut ids, which are there to be copied.
    """
    names, cells = tuple(columns), [tuple(map(printable, row)) for row in rows]
    # In a pipe the width of a terminal means nothing.
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    widths = _fit(list(zip(names, *cells, strict=True)), console.width)
    if widths is None:
        _print_lists(names, cells, title)
        return
    table = Table(title=title or None, title_justify="left")
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _fit(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Find how wide each column of texts is in a table so wide, in which no word is cut.

    None where there is no room for that. What is to spare goes to the columns that need least.
    """
    least = [
        max(cell_len(word) for text in one for word in text.split() or [""]) for one in columns
    ]
    most = [max(map(cell_len, one)) for one in columns]
    spare = width - _EDGE - sum(least) - _BETWEEN * len(columns)
    if spare < 0:
        return None
    widths = least.copy()
    by_need = sorted(range(len(columns)), key=lambda at: most[at] - least[at])
    for place, at in enumerate(by_need):
        more = min(most[at] - least[at], spare // (len(columns) - place))
        widths[at] += more
        spare -= more
    return widths


def _print_lists(names: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> None:
    """Print the cells of each row below each other, and leave out those that are blank."""
    if title:
        click.echo(title)
    width = max(map(len, names))
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            if cell:
                click.echo(f"{name:<{width}}  {cell}")
        click.echo()


def can_print(text: str) -> bool:
    """Say whether the encoding of the terminal, or of the pipe, has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def printable(cell: object) -> str:
    """Write a value for a terminal; what could steer it is escaped, since callers chose the text.

    So is what the encoding of the terminal has not.

    >>> printable("\\x1b[2Jdone")
    '\\\\x1b[2Jdone'
    """
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "milliseconds")
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(cell))
    return text if can_print(text) else text.encode("ascii", "backslashreplace").decode()
