"""Admin routes that move what is live: promote, roll back, aliases, retire.

Each can be tried out with `dry_run`: it shows what would be recorded and what is checked.
"""

from typing import Annotated, Any

from litestar import Request, Response, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT, VersionNumber
from gateway.http.conditions import DryRun
from gateway.http.health import ModelName
from gateway.security import Role
from registry import promoting
from registry.promotions import Promotion
from registry.registry import Registry
from registry.trials import Trial, try_out
from registry.versions import AliasChange, Version

_DEPLOYERS = open_to(Role.DEPLOYER)

AliasName = Annotated[str, PathParameter(description="Name of an alias.")]


class Promoting(Struct, forbid_unknown_fields=True):
    version: int
    reason: str
    by_force: bool = False


class RollingBack(Struct, forbid_unknown_fields=True):
    reason: str
    version: int | None = None


class Pointing(Struct, forbid_unknown_fields=True):
    version: int
    reason: str


class Ending(Struct, forbid_unknown_fields=True):
    reason: str


@post(
    "/admin/models/{model:str}/promotions",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
    responses={
        202: ResponseSpec(
            Promotion, generate_examples=False, description="It waits for another person."
        )
    },
)
def promote(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    data: JSONBody[Promoting],
    dry_run: DryRun = False,
) -> Response[AliasChange | Promotion | Trial]:
    """Make a version the champion now, or ask for it where its policy wants a second person."""
    author = author_of(request)

    def verb(on: Registry) -> AliasChange | Promotion:
        return promoting.ask(on, model, data.version, data.reason, author, by_force=data.by_force)

    if dry_run:
        checks = promoting.promotion_checks(registry, model, data.version)
        return Response(try_out(registry, verb, checks))
    done = verb(registry)
    return Response(done, status_code=202 if isinstance(done, Promotion) else 200)


@post(
    "/admin/models/{model:str}/rollback",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def roll_back(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    data: JSONBody[RollingBack],
    dry_run: DryRun = False,
) -> AliasChange | Trial:
    """Put the previous champion back, or an earlier one that is named."""
    author = author_of(request)

    def verb(on: Registry) -> AliasChange:
        return on.roll_back(model, data.reason, author, data.version)

    return try_out(registry, verb) if dry_run else verb(registry)


@put(
    "/admin/models/{model:str}/aliases/{alias:str}",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    sync_to_thread=True,
)
def point_alias(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    alias: AliasName,
    data: JSONBody[Pointing],
    dry_run: DryRun = False,
) -> AliasChange | Trial:
    """Let an alias of your own name a version; the champion moves by promotion alone."""
    author = author_of(request)

    def verb(on: Registry) -> AliasChange:
        return on.point_alias(model, alias, data.version, data.reason, author)

    return try_out(registry, verb) if dry_run else verb(registry)


@post(
    "/admin/models/{model:str}/aliases/{alias:str}/remove",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def remove_alias(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    alias: AliasName,
    data: JSONBody[Ending],
    dry_run: DryRun = False,
) -> AliasChange | Trial:
    """Let an alias name nothing any more."""
    author = author_of(request)

    def verb(on: Registry) -> AliasChange:
        return on.remove_alias(model, alias, data.reason, author)

    return try_out(registry, verb) if dry_run else verb(registry)


@post(
    "/admin/models/{model:str}/versions/{version:int}/retire",
    opt=_DEPLOYERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def retire(  # noqa: PLR0917 - the framework passes them by name
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    model: ModelName,
    version: VersionNumber,
    data: JSONBody[Ending],
    dry_run: DryRun = False,
) -> Version | Trial:
    """End a version that no alias names and no rollout is of."""
    author = author_of(request)

    def verb(on: Registry) -> Version:
        return on.retire(model, version, data.reason, author)

    return try_out(registry, verb) if dry_run else verb(registry)
