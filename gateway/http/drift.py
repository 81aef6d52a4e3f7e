"""Admin routes: how the traffic of a model stands to its reference, what was found and is done.

What is set or closed is stored and recorded; the controller acts on it within a second.
"""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct

from gateway.drift.page import write_page
from gateway.drift.period import DEFAULT, read_period
from gateway.drift.reading import read_report
from gateway.drift.report import DriftReport
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.bodies import read_object
from gateway.http.health import ModelName
from gateway.security import Role
from registry import drift
from registry.drift_policy import DriftPolicy, drift_policy
from registry.findings import Finding
from registry.records import Lane
from registry.registry import Registry
from registry.times import now

_READERS = open_to(Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN)

FindingId = Annotated[str, PathParameter(description="Id of a finding.")]


class Findings(Struct, kw_only=True):
    """The findings of a model, newest first."""

    model: str
    findings: list[Finding]


class Closing(Struct, forbid_unknown_fields=True):
    reason: str


class ReportForm(StrEnum):
    JSON = "json"
    HTML = "html"


_MEDIA_TYPES = {ReportForm.JSON: "application/json", ReportForm.HTML: "text/html"}


@get(
    "/admin/models/{model:str}/drift",
    opt=_READERS,
    sync_to_thread=True,
    responses={
        200: ResponseSpec(
            DriftReport, generate_examples=False, description="The report, or a page that shows it."
        )
    },
)
def show_drift(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    window: Annotated[
        str, QueryParameter(description="How far back, as in 90m, 24h or 30d.")
    ] = DEFAULT,
    version: Annotated[int | None, QueryParameter(ge=1, description="Else the champion.")] = None,
    lane: Annotated[Lane, QueryParameter()] = Lane.CHAMPION,
    form: Annotated[
        ReportForm | None, QueryParameter(name="format", description="Else as `Accept` asks.")
    ] = None,
) -> Response[bytes]:
    """Show how the live traffic of a version stands to what it was trained on."""
    report = read_report(registry, model, read_period(window), at=now(), version=version, lane=lane)
    chosen = form or _asked_for(request)
    write = write_page if chosen is ReportForm.HTML else msgspec.json.encode
    return Response(write(report), media_type=_MEDIA_TYPES[chosen], headers={"vary": "accept"})


def _asked_for(request: Request[Any, Any, Any]) -> ReportForm:
    """Choose what a browser reads for a browser, and JSON for whoever has no wish."""
    wanted = request.accept.best_match(list(_MEDIA_TYPES.values()))
    return ReportForm.HTML if wanted == _MEDIA_TYPES[ReportForm.HTML] else ReportForm.JSON


@get("/admin/models/{model:str}/drift-policy", opt=_READERS)
async def show_drift_policy(registry: NamedDependency[Registry], model: ModelName) -> DriftPolicy:
    """Show what is done where the traffic of a model leaves its reference."""
    await asyncio.to_thread(registry.versions, model)
    return await asyncio.to_thread(drift_policy, registry.store, model)


@put(
    "/admin/models/{model:str}/drift-policy",
    opt=open_to(Role.ADMIN),
    request_max_body_size=JSON_LIMIT,
)
async def set_drift_policy(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> DriftPolicy:
    """Set that; what is not named is as by default, and an empty object sets all so."""
    policy = read_object(await request.body(), DriftPolicy)
    author = author_of(request)
    await asyncio.to_thread(drift.set_drift_policy, registry, model, policy, author)
    return policy


@get("/admin/models/{model:str}/findings", opt=_READERS, sync_to_thread=True)
def list_findings(registry: NamedDependency[Registry], model: ModelName) -> Findings:
    """List what was found in the traffic of a model, newest first."""
    return Findings(model=model, findings=drift.findings(registry, model))


@post(
    "/admin/models/{model:str}/findings/{finding:str}/close",
    opt=open_to(Role.DEPLOYER),
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def close_finding(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    finding: FindingId,
    data: JSONBody[Closing],
) -> Finding:
    """End what a finding does; the champion answers again within two seconds."""
    return drift.close_finding(registry, model, finding, data.reason, author_of(request))
