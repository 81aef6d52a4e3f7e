"""The composition root: which parts a worker is made of, and how requests reach them."""

from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ASGIApp, Receive, Scope, Send

import gateway
from gateway.drift.gauges import DriftGauges
from gateway.http import (
    admin,
    audit,
    configuration,
    destinations,
    dossier,
    drift,
    erasure,
    export,
    health,
    keeping,
    keys,
    log,
    metrics,
    model_docs,
    moves,
    operation,
    promotions,
    replay,
    repository,
    rollouts,
    shadow,
    statistics,
    summary,
    truth,
)
from gateway.http.access import check_access
from gateway.http.bodies import in_time
from gateway.http.conditions import provide_registry
from gateway.http.docs import Documentation
from gateway.http.inference import InferenceEndpoint
from gateway.http.once import Once
from gateway.http.problems import answer_error
from gateway.http.reads import answer_recorded
from gateway.http.replay import ReplayDesk
from gateway.http.truth import TruthDesk
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.metrics import Meter
from gateway.pipeline import Pipeline
from gateway.replay.asking import Asking
from gateway.replay.engines import ProcessApart
from gateway.rollout.gauges import RolloutGauges
from gateway.settings import Settings
from gateway.shadow.gauges import ShadowGauges
from gateway.shadow.state import ShadowFiles
from gateway.truth.known import KnownTruth
from registry.audit.published import PublishedLog
from registry.audit.query import AuditTrail
from registry.registry import Registry

HANDLERS = (
    health.describe_server,
    health.is_live,
    health.is_ready,
    health.list_served,
    health.describe_model,
    health.describe_version,
    health.is_model_ready,
    health.is_version_ready,
    admin.publish,
    admin.list_models,
    admin.show_model,
    admin.show_version,
    admin.show_history,
    moves.promote,
    moves.roll_back,
    moves.point_alias,
    moves.remove_alias,
    moves.retire,
    promotions.list_promotions,
    promotions.show_promotion,
    promotions.approve,
    promotions.reject,
    promotions.show_promotion_policy,
    promotions.set_promotion_policy,
    keys.create_key,
    keys.list_keys,
    keys.revoke_key,
    # Of several methods of one path an async one stands first: Litestar wraps the first again.
    destinations.create_destination,
    destinations.list_destinations,
    destinations.remove_destination,
    destinations.resume_destination,
    destinations.list_deliveries,
    destinations.retry_delivery,
    audit.find_records,
    audit.show_record,
    audit.show_payload,
    erasure.erase_subject,
    keeping.show_payload_policy,
    keeping.set_payload_policy,
    keeping.show_retention,
    keeping.set_retention,
    keeping.set_hold,
    keeping.lift_hold,
    drift.show_drift,
    drift.show_drift_policy,
    drift.set_drift_policy,
    drift.list_findings,
    drift.close_finding,
    truth.take_feedback,
    truth.show_truth,
    truth.show_truth_policy,
    truth.set_truth_policy,
    truth.show_labels,
    rollouts.start_rollout,
    rollouts.list_rollouts,
    rollouts.show_rollout,
    rollouts.pause_rollout,
    rollouts.resume_rollout,
    rollouts.abort_rollout,
    shadow.show_shadow,
    summary.show_summary,
    export.export_records,
    log.show_checkpoint,
    log.show_vkey,
    log.show_vkeys,
    log.show_tile,
    log.show_entries,
    log.show_proof,
    log.show_consistency,
    replay.replay,
    dossier.show_dossier,
    metrics.show_metrics,
    statistics.count_all,
    statistics.count_model,
    statistics.count_version,
    repository.show_index,
    repository.load,
    repository.unload,
    configuration.configure_model,
    configuration.configure_version,
    model_docs.describe_protocol,
    model_docs.show_protocol,
    model_docs.describe_champion,
    model_docs.show_champion,
    model_docs.describe_one,
    model_docs.show_one,
    operation.show_logging,
    operation.change_logging,
    operation.show_trace,
    operation.change_trace,
    operation.show_model_trace,
    operation.change_model_trace,
)


class Application:
    """Sends inference to its endpoint and everything else to Litestar."""

    def __init__(
        self,
        inference: InferenceEndpoint,
        litestar: ASGIApp,
        journal: Journal,
        *,
        body_deadline_s: float,
    ) -> None:
        self._inference = inference
        self._litestar = litestar
        self._journal = journal
        self._body_deadline_s = body_deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            head = self._inference.head_of(scope)
            if head is not None:
                await self._inference(scope, receive, send, head)
                return
            receive = in_time(receive, self._body_deadline_s)
            await answer_recorded(self._litestar, self._journal, scope, receive, send)
        else:
            await self._litestar(scope, receive, send)


def build_application(
    *,
    settings: Settings,
    registry: Registry,
    loader: Loader,
    pipeline: Pipeline,
    journal: Journal,
    meter: Meter,
    trail: AuditTrail,
) -> Application:
    """Put the parts of one worker together."""
    inference = InferenceEndpoint(
        pipeline, body_limit=settings.body_limit, body_deadline_s=settings.body_deadline_s
    )
    shadow_files = ShadowFiles(settings.shadow_dir)
    engine = ProcessApart(registry.artifacts, settings.run_deadline_s)
    once = Once(registry.store)
    litestar = Litestar(
        HANDLERS,
        guards=[check_access],
        exception_handlers={Exception: answer_error},
        before_request=once.begin,
        dependencies={
            "settings": _provide(settings),
            "registry": provide_registry(registry),
            "loader": _provide(loader),
            "journal": _provide(journal),
            "trail": _provide(trail),
            "log": _provide(PublishedLog(registry.store, settings.checkpoint_path)),
            "meter": _provide(meter),
            "drift_gauges": _provide(DriftGauges(registry)),
            "shadow_files": _provide(shadow_files),
            "shadow_gauges": _provide(ShadowGauges(registry.store, shadow_files)),
            "truth_desk": _provide(TruthDesk(registry, settings)),
            "rollout_gauges": _provide(RolloutGauges(registry, KnownTruth(settings.metrics_dir))),
            "replay_desk": _provide(ReplayDesk(registry, Asking(registry, trail, engine))),
        },
        state=State({"loader": loader}),
        request_max_body_size=settings.upload_limit,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Governed gateway",
            version=gateway.VERSION,
            openapi_controller=Documentation,  # type: ignore[arg-type] # any controller will do
            use_handler_docstrings=True,
        ),
    )
    return Application(
        inference, once.over(litestar), journal, body_deadline_s=settings.body_deadline_s
    )


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, use_cache=True, sync_to_thread=False)
