"""Admin routes: what is done where the traffic of a model leaves its reference, and what was found.

What is set or closed is stored and recorded; the controller acts on it within a second.
"""

import asyncio
from typing import Annotated, Any

from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.bodies import read_object
from gateway.http.health import ModelName
from gateway.security import Role
from registry import drift
from registry.drift_policy import DriftPolicy, drift_policy
from registry.findings import Finding
from registry.registry import Registry

_READERS = open_to(Role.VIEWER, Role.DEPLOYER, Role.AUDITOR, Role.ADMIN)

FindingId = Annotated[str, PathParameter(description="Id of a finding.")]


class Findings(Struct, kw_only=True):
    """The findings of a model, newest first."""

    model: str
    findings: list[Finding]


class Closing(Struct, forbid_unknown_fields=True):
    reason: str


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
