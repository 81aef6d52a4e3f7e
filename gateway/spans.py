"""Spans of requests for an OpenTelemetry collector; the extra `otel` installs what it takes.

Nothing imports this module unless an endpoint is set.
"""

import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

import gateway
from gateway.trace_context import TraceContext
from gateway.tracing import Times

_EXPORT_S = 5


class Spans:
    """Sends one span for each recorded call, in the background; what cannot be sent is lost."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create(
            {"service.name": "governed-gateway", "service.version": gateway.VERSION}
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("gateway")

    def note(self, times: Times) -> None:
        """Tell of one recorded call that has just got its answer or its refusal."""
        ended_ns = time.time_ns()
        span = self._tracer.start_span(
            "infer",
            context=None if times.trace is None else _context(times.trace),
            kind=SpanKind.SERVER,
            attributes=_attributes(times),
            start_time=ended_ns - times.total_ns,
        )
        if times.error is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended_ns)

    def close(self) -> None:
        """Send what waits, within the time that one sending may take."""
        self._provider.shutdown()


def _attributes(times: Times) -> dict[str, str | int]:
    told = {
        "gateway.record_id": times.record_id,
        "gateway.model": times.model,
        "gateway.version": times.version,
        "gateway.lane": times.lane,
        "gateway.queue_ns": times.queue_ns,
        "gateway.compute_ns": times.compute_ns,
        "gateway.encode_ns": times.encode_ns,
        "error.type": times.error,
    }
    return {name: value for name, value in told.items() if value is not None}


def _context(parent: TraceContext) -> Context:
    span_context = SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.is_sampled else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(span_context), Context())
