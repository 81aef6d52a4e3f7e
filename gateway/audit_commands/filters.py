"""The options that choose records, as the filters of `GET /audit/records` do."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

import click

from registry.records import Kind, Lane, Outcome
from registry.times import as_utc

_Command = TypeVar("_Command", bound=Callable[..., Any])
# How the options are called, where that is not what a filter calls them.
_QUERY_NAMES = {"since": "from", "until": "to"}


def read_moment(text: str) -> datetime:
    """Read a date or a time as ISO 8601 has it; one without a time zone is in UTC."""
    return as_utc(datetime.fromisoformat(text))


def filter_options(command: _Command) -> _Command:
    """Give a command the filters of `GET /audit/records`, but for the end of a time."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def as_query(**asked: Any) -> str:
    """Write what was asked for as the query of the route would be."""
    given = {name: value for name, value in asked.items() if value is not None}
    return urlencode(
        {
            _QUERY_NAMES.get(name, name): one.isoformat() if isinstance(one, datetime) else one
            for name, one in given.items()
        }
    )


since_option = click.option(
    "--from",
    "since",
    type=read_moment,
    metavar="TIME",
    help="The first moment, as in 2026-03-01 or 2026-03-01T12:00+01:00.",
)
until_option = click.option(
    "--to", "until", type=read_moment, metavar="TIME", help="The first moment after it."
)
# For commands whose --to is where they write to.
before_option = click.option(
    "--before", "until", type=read_moment, metavar="TIME", help="The first moment after it."
)
_OPTIONS = (
    click.option("--model"),
    click.option("--version", type=int),
    click.option("--lane", type=click.Choice([one.value for one in Lane])),
    click.option("--kind", type=click.Choice([one.value for one in Kind])),
    click.option("--principal", help="Id of a key, or local:<user>."),
    click.option("--outcome", type=click.Choice([one.value for one in Outcome])),
    click.option("--request-id", help="The caller's own id."),
    since_option,
)
