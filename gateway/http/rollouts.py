"""Admin routes: rollouts of a model, how each stands and came to, and what people do with one.

Every worker obeys a change within a second.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.bodies import read_object
from gateway.http.conditions import DryRun
from gateway.http.health import ModelName
from gateway.latency_edges import measure_edges
from gateway.metrics import Meter
from gateway.metrics.snapshot import Counts, total
from gateway.security import Role
from registry import rolling_out
from registry.recording import Author
from registry.registry import Registry
from registry.rollout_file import parse_plan
from registry.rollouts import Rollout, RolloutChange
from registry.trials import Trial, try_out
from registry.versions import CHAMPION

_READERS = open_to(Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN)

RolloutId = Annotated[str, PathParameter(description="Id of a rollout.")]


class NewRollout(Struct, forbid_unknown_fields=True):
    """A `registry.rollouts.Plan`, and why it is started."""

    plan: msgspec.Raw
    reason: str


class Reason(Struct, forbid_unknown_fields=True):
    reason: str


class Rollouts(Struct, kw_only=True):
    """The rollouts of a model, newest first."""

    model: str
    rollouts: list[Rollout]


class RolloutView(Struct, kw_only=True):
    """A rollout as it stands, and all that became of it, oldest first, with the evidence."""

    rollout: Rollout
    changes: list[RolloutChange]


@post(
    "/admin/models/{model:str}/rollouts",
    opt=open_to(Role.DEPLOYER),
    request_max_body_size=JSON_LIMIT,
    status_code=201,
)
async def start_rollout(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    meter: NamedDependency[Meter],
    model: ModelName,
    dry_run: DryRun = False,
) -> Response[Rollout | Trial]:
    """Let a challenger meet the traffic of the champion, as a plan with guards says."""
    wanted = read_object(await request.body(), NewRollout)
    counts = total(await meter.read())
    author = author_of(request)

    def verb(on: Registry) -> Rollout:
        return _start(on, model, wanted, author, counts)

    if dry_run:
        return Response(await asyncio.to_thread(try_out, registry, verb), status_code=200)
    return Response(await asyncio.to_thread(verb, registry))


@get("/admin/models/{model:str}/rollouts", opt=_READERS, sync_to_thread=True)
def list_rollouts(registry: NamedDependency[Registry], model: ModelName) -> Rollouts:
    """List the rollouts of a model, newest first."""
    return Rollouts(model=model, rollouts=rolling_out.rollouts(registry, model))


@get("/admin/rollouts/{rollout:str}", opt=_READERS, sync_to_thread=True)
def show_rollout(registry: NamedDependency[Registry], rollout: RolloutId) -> RolloutView:
    """Show a rollout, and what became of it on which evidence."""
    with registry.store.snapshot() as view:
        found = rolling_out.find_rollout(view, rollout)
        return RolloutView(rollout=found, changes=view.rollout_changes(rollout))


@post(
    "/admin/rollouts/{rollout:str}/pause",
    opt=open_to(Role.DEPLOYER),
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def pause_rollout(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    rollout: RolloutId,
    data: JSONBody[Reason],
) -> Rollout:
    """Let the challenger meet no traffic until the rollout is resumed."""
    return rolling_out.pause(registry, rollout, data.reason, author_of(request))


@post(
    "/admin/rollouts/{rollout:str}/resume",
    opt=open_to(Role.DEPLOYER),
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def resume_rollout(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    rollout: RolloutId,
    data: JSONBody[Reason],
) -> Rollout:
    """Let a paused rollout go on in its stage."""
    return rolling_out.resume(registry, rollout, data.reason, author_of(request))


@post(
    "/admin/rollouts/{rollout:str}/abort",
    opt=open_to(Role.DEPLOYER),
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def abort_rollout(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    rollout: RolloutId,
    data: JSONBody[Reason],
) -> Rollout:
    """End a rollout: the champion answers everybody."""
    return rolling_out.abort(registry, rollout, data.reason, author_of(request))


def _start(
    registry: Registry, model: str, wanted: NewRollout, author: Author, counts: Counts
) -> Rollout:
    plan = parse_plan(wanted.plan)
    champion = registry.store.aliases(model).get(CHAMPION)
    edges_us = measure_edges(plan, model, champion, counts)
    return rolling_out.start(registry, model, plan, wanted.reason, author, edges_us=edges_us)
