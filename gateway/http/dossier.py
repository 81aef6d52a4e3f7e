"""The audit route for one decision in one file."""

from enum import StrEnum
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.dossier.content import write_json
from gateway.dossier.gather import gather
from gateway.dossier.page import write_page
from gateway.http.access import open_to
from gateway.http.audit import RecordId
from gateway.security import Role
from registry.audit.published import PublishedLog
from registry.audit.query import AuditTrail
from registry.registry import Registry


class DossierForm(StrEnum):
    HTML = "html"
    JSON = "json"


@get(
    "/audit/records/{record_id:str}/dossier",
    opt=open_to(Role.AUDITOR),
    media_type="text/html",
    sync_to_thread=True,
)
def show_dossier(
    registry: NamedDependency[Registry],
    trail: NamedDependency[AuditTrail],
    log: NamedDependency[PublishedLog],
    record_id: RecordId,
    form: Annotated[DossierForm, QueryParameter(name="format")] = DossierForm.HTML,
) -> Response[bytes]:
    """Show all that is known of one decision, as a page that is whole, or as the JSON in it."""
    gathered = gather(registry, trail, record_id, log=log)
    if form is DossierForm.JSON:
        return Response(write_json(gathered.dossier), media_type="application/json")
    return Response(write_page(gathered), media_type="text/html")
