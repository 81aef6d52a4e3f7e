"""Admin routes: promotions that wait for another person, and the policy that says which do."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Struct

from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.bodies import read_object
from gateway.http.health import ModelName
from gateway.security import Role
from registry import promoting
from registry.promoting import Review
from registry.promotion_case import promotion_policy
from registry.promotion_policy import PromotionPolicy
from registry.promotions import Promotion
from registry.registry import Registry
from registry.versions import AliasChange

_READERS = open_to(Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN)
_APPROVERS = open_to(Role.APPROVER)

PromotionId = Annotated[str, PathParameter(description="Id of a request to promote a version.")]


class Wanted(StrEnum):
    PENDING = "pending"
    ALL = "all"


class Deciding(Struct, forbid_unknown_fields=True):
    reason: str


@get("/admin/promotions", opt=_READERS, sync_to_thread=True)
def list_promotions(
    registry: NamedDependency[Registry],
    model: Annotated[str | None, QueryParameter(description="Only of this model.")] = None,
    wanted: Annotated[
        Wanted,
        QueryParameter(name="state", description="Those that wait, or all that there ever were."),
    ] = Wanted.PENDING,
) -> list[Review]:
    """List requests to promote versions, newest first, each as whoever decides must see it."""
    return promoting.reviews(registry, model, only_pending=wanted is Wanted.PENDING)


@get("/admin/promotions/{promotion:str}", opt=_READERS, sync_to_thread=True)
def show_promotion(registry: NamedDependency[Registry], promotion: PromotionId) -> Review:
    """Show a request with its evidence, what the policy asks, and what has changed since."""
    return promoting.review(registry, promotion)


@post(
    "/admin/promotions/{promotion:str}/approve",
    opt=_APPROVERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def approve(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    promotion: PromotionId,
    data: JSONBody[Deciding],
) -> AliasChange:
    """Make the version the champion, as another person than the one who asked."""
    return promoting.approve(registry, promotion, data.reason, author_of(request))


@post(
    "/admin/promotions/{promotion:str}/reject",
    opt=_APPROVERS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
    sync_to_thread=True,
)
def reject(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    promotion: PromotionId,
    data: JSONBody[Deciding],
) -> Promotion:
    """End a request; nothing that is live changes."""
    return promoting.reject(registry, promotion, data.reason, author_of(request))


@get("/admin/models/{model:str}/promotion-policy", opt=_READERS)
async def show_promotion_policy(
    registry: NamedDependency[Registry], model: ModelName
) -> PromotionPolicy:
    """Show what a version of a model needs to become champion."""
    await asyncio.to_thread(registry.versions, model)
    return await asyncio.to_thread(promotion_policy, registry.store, model)


@put(
    "/admin/models/{model:str}/promotion-policy",
    opt=open_to(Role.ADMIN),
    request_max_body_size=JSON_LIMIT,
)
async def set_promotion_policy(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> PromotionPolicy:
    """Set that; what is not named is as by default, and an empty object asks for nothing.

    Requests that wait were made under another policy then, and have to be made anew.
    """
    policy = read_object(await request.body(), PromotionPolicy)
    roles, author = frozenset(Role), author_of(request)
    await asyncio.to_thread(promoting.set_promotion_policy, registry, model, policy, roles, author)
    return policy
