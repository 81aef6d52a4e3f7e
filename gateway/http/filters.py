"""The filters that routes over audit records have in common."""

from datetime import datetime
from typing import Annotated

from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from registry.records import Kind, Outcome, RecordFilter
from registry.times import as_utc

Wanted = NamedDependency[RecordFilter]
Text = Annotated[str | None, QueryParameter()]


def read_filter(  # noqa: PLR0917 - the framework passes them by name
    model: Text = None,
    version: Annotated[int | None, QueryParameter()] = None,
    lane: Text = None,
    kind: Annotated[Kind | None, QueryParameter()] = None,
    principal: Text = None,
    outcome: Annotated[Outcome | None, QueryParameter()] = None,
    request_id: Text = None,
    since: Annotated[datetime | None, QueryParameter(name="from")] = None,
    until: Annotated[datetime | None, QueryParameter(name="to")] = None,
) -> RecordFilter:
    """Read the filters of a request: from `from` on and before `to`."""
    return RecordFilter(
        model=model,
        version=version,
        lane=lane,
        kind=kind,
        principal=principal,
        outcome=outcome,
        request_id=request_id,
        since=None if since is None else as_utc(since),
        until=None if until is None else as_utc(until),
    )


# What a handler that takes `wanted: Wanted` declares.
FILTERS = {"wanted": Provide(read_filter, sync_to_thread=False)}
