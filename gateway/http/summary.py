"""The route that counts records for people."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.http.access import open_to
from gateway.http.reads import tell_rows
from gateway.security import Role
from registry.audit.summary import By, Line, summarise
from registry.registry import Registry
from registry.times import as_utc, now


class Summary(Struct, kw_only=True):
    """Counts of integrated records by period, kind, outcome, model, version and lane."""

    by: By
    lines: list[Line]


@get("/audit/summary", opt=open_to(Role.AUDITOR), sync_to_thread=True)
def show_summary(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: Annotated[str | None, QueryParameter()] = None,
    since: Annotated[datetime | None, QueryParameter(name="from")] = None,
    until: Annotated[datetime | None, QueryParameter(name="to")] = None,
    by: Annotated[By, QueryParameter()] = By.DAY,
) -> Summary:
    """Count records by whole hours or days: from `from` on and before `to`, by default now."""
    tell_rows(request, 0)
    lines = summarise(
        registry.store,
        by=by,
        since=None if since is None else as_utc(since),
        until=now() if until is None else as_utc(until),
        model=model,
    )
    return Summary(by=by, lines=lines)
