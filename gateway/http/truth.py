"""Ground truth over HTTP: labels taken in, and how good the answers were that they are of."""

import asyncio
import threading
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.drift.period import DEFAULT, read_period
from gateway.errors import ReportBusy
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.audit import RecordId
from gateway.http.bodies import read_object
from gateway.http.health import ModelName
from gateway.security import Role
from gateway.settings import Settings
from gateway.truth.apart import read_apart
from gateway.truth.report import TruthReport
from registry.audit.query import AuditTrail
from registry.errors import AliasNotFound
from registry.labels import KeptLabel
from registry.records import Lane
from registry.registry import Registry
from registry.times import now
from registry.truth import FeedbackTaken, GivenLabel, give_feedback
from registry.truth import set_truth_policy as set_policy
from registry.truth_policy import TruthPolicy, truth_policy
from registry.versions import CHAMPION

FEEDBACK_LIMIT = 1 << 20  # bytes of a batch
_READERS = open_to(Role.VIEWER, Role.DEPLOYER, Role.APPROVER, Role.AUDITOR, Role.ADMIN)


class Feedback(Struct, forbid_unknown_fields=True):
    """A batch of up to 1,000 labels; `row` is 0 where it is not given."""

    labels: list[GivenLabel]


class Labels(Struct, kw_only=True):
    """Every label that ever came of an answer, by row, the oldest of each first."""

    record_id: str
    labels: list[KeptLabel]


class TruthDesk:
    """Has one report made at a time, in a process apart: scoring rows would hold a worker up."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._settings = settings
        self._turn = threading.Lock()

    def report(
        self, model: str, window: str, version: int | None, lane: Lane | None, at: datetime
    ) -> bytes:
        """Return a report as JSON.

        Raises ReportBusy, ReportTooLong, and what `gateway.truth.reading` raises.
        """
        read_period(window)
        self._check_version(model, version)
        if not self._turn.acquire(blocking=False):
            raise ReportBusy
        try:
            return read_apart(
                self._settings.data_dir, self._settings.payload_key, model, window,
                at=at, version=version, lane=lane,
            )  # fmt: skip
        finally:
            self._turn.release()

    def _check_version(self, model: str, version: int | None) -> None:
        if version is not None:
            self._registry.version(model, version)
            return
        self._registry.versions(model)
        if CHAMPION not in self._registry.store.aliases(model):
            raise AliasNotFound(model, CHAMPION)


@post(
    "/v2/models/{model:str}/feedback",
    opt=open_to(Role.INVOKER),
    request_max_body_size=FEEDBACK_LIMIT,
    status_code=200,
)
async def take_feedback(
    request: Request[Any, Any, Any],
    registry: NamedDependency[Registry],
    trail: NamedDependency[AuditTrail],
    model: ModelName,
) -> FeedbackTaken:
    """Take what was true of answered rows, each label by itself; the last one of a row counts."""
    given = read_object(await request.body(), Feedback)
    author = author_of(request)
    return await asyncio.to_thread(give_feedback, registry, trail, model, given.labels, author)


@get(
    "/admin/models/{model:str}/truth",
    opt=_READERS,
    sync_to_thread=True,
    responses={200: ResponseSpec(TruthReport, generate_examples=False, description="The report.")},
)
def show_truth(
    truth_desk: NamedDependency[TruthDesk],
    model: ModelName,
    window: Annotated[
        str, QueryParameter(description="How long the time is whose labels are due, as in 7d.")
    ] = DEFAULT,
    version: Annotated[int | None, QueryParameter(ge=1, description="Else the champion.")] = None,
    lane: Annotated[
        Lane | None, QueryParameter(description="Else all lanes that answer callers.")
    ] = None,
) -> Response[bytes]:
    """Show how good the answers of a version were, by the labels that came of them."""
    report = truth_desk.report(model, window, version, lane, now())
    return Response(report, media_type="application/json")


@get("/admin/models/{model:str}/truth-policy", opt=_READERS)
async def show_truth_policy(registry: NamedDependency[Registry], model: ModelName) -> TruthPolicy:
    """Show what the answers of a model are scored against, and when."""
    await asyncio.to_thread(registry.versions, model)
    return await asyncio.to_thread(truth_policy, registry.store, model)


@put(
    "/admin/models/{model:str}/truth-policy",
    opt=open_to(Role.ADMIN),
    request_max_body_size=JSON_LIMIT,
)
async def set_truth_policy(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> TruthPolicy:
    """Set that; what is not named is as by default, and an empty object sets all so."""
    policy = read_object(await request.body(), TruthPolicy)
    author = author_of(request)
    await asyncio.to_thread(set_policy, registry, model, policy, author)
    return policy


@get("/audit/records/{record_id:str}/labels", opt=open_to(Role.AUDITOR), sync_to_thread=True)
def show_labels(
    registry: NamedDependency[Registry],
    trail: NamedDependency[AuditTrail],
    record_id: RecordId,
) -> Labels:
    """Show every label that came of an answer, also those that were corrected later."""
    record = trail.record(record_id).record
    labels = registry.store.label_history(record.model or "", record.id)
    return Labels(record_id=record.id, labels=labels)
