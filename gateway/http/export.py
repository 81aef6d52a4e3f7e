"""The route that gives records in bulk, as a file."""

from base64 import b64encode
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from gateway.http.access import open_to
from gateway.http.filters import FILTERS, Wanted
from gateway.http.reads import tell_rows
from gateway.security import Role
from registry.audit.export import open_export
from registry.audit.export_forms import Format, writer_of
from registry.audit.published import PublishedLog
from registry.registry import Registry

_TYPES = {
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


@get("/audit/export", opt=open_to(Role.AUDITOR), dependencies=FILTERS, sync_to_thread=True)
def export_records(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    log: NamedDependency[PublishedLog],
    wanted: Wanted,
    form: Annotated[Format, QueryParameter(name="format")] = Format.NDJSON,
    proofs: Annotated[bool, QueryParameter()] = False,
) -> Stream:
    """Export the published records that fit, newest first, as they are at the checkpoint."""
    tell_rows(request, None)
    write = writer_of(form)
    export = open_export(registry.store, log, wanted, proofs=proofs)
    return Stream(
        write(export),
        media_type=_TYPES[form],
        headers={
            "content-disposition": f'attachment; filename="records.{form}"',
            "x-log-size": str(export.size),
            "x-log-checkpoint": b64encode(export.note.encode()).decode(),
        },
    )
