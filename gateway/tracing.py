"""Where the time of single requests goes: some of them, as set, leave an event `trace` in the log.

`Roster.tracers` is None while no model is traced, so that tracing costs one look at it then.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.logs import logger
from gateway.trace_context import TraceContext

Level = Literal["OFF", "TIMESTAMPS"]


class TraceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests of a model are traced; the names are those of the protocol's extension.

    Every `trace_rate`-th request of each worker, up to `trace_count` of them, or without end where
    that is -1. Events are written one by one, or `log_frequency` at a time where that is not 0.
    """

    trace_level: tuple[Level, ...] = ("OFF",)
    trace_rate: Annotated[int, Meta(ge=1, le=1 << 31)] = 1000
    trace_count: Annotated[int, Meta(ge=-1, le=1 << 31)] = -1
    log_frequency: Annotated[int, Meta(ge=0, le=10_000)] = 0

    @property
    def is_on(self) -> bool:
        return "TIMESTAMPS" in self.trace_level


class Times(Struct, frozen=True, kw_only=True):
    """One recorded request: what became of it, the parts of its time, and all of it.

    Model, version and lane are None where it met none; `error` is the code of a refusal, and
    `trace` what the caller's `traceparent` says.
    """

    record_id: str
    model: str | None
    version: int | None
    lane: str | None
    error: str | None
    trace: TraceContext | None
    queue_ns: int
    compute_ns: int
    encode_ns: int
    total_ns: int


class Tracer:
    """Chooses the requests of one model that are traced, and writes them."""

    def __init__(self, settings: TraceSettings) -> None:
        self.settings = settings
        self._seen = self._taken = 0
        self._held: list[Times] = []

    def note(self, times: Times) -> None:
        self._seen += 1
        is_due = self._seen % self.settings.trace_rate == 0
        if not is_due or self._taken == self.settings.trace_count:
            return
        self._taken += 1
        self._held.append(times)
        if len(self._held) >= self.settings.log_frequency:
            # A log that cannot be written takes no answer with it.
            with suppress(OSError):
                for one in self._held:
                    _write(one)
            self._held.clear()


def _write(times: Times) -> None:
    logger.info(
        "trace",
        record_id=times.record_id,
        model=times.model,
        version=times.version,
        lane=times.lane,
        queue_ns=times.queue_ns,
        compute_ns=times.compute_ns,
        encode_ns=times.encode_ns,
        total_ns=times.total_ns,
    )


class Tracers:
    """The models that are traced."""

    def __init__(self, by_model: Mapping[str, Tracer]) -> None:
        self._by_model = by_model

    def note(self, times: Times) -> None:
        """Write down a request if it was answered and is one to be traced."""
        tracer = None if times.model is None else self._by_model.get(times.model)
        if tracer is not None and times.error is None:
            tracer.note(times)

    def find(self, model: str, settings: TraceSettings) -> Tracer | None:
        """Return the tracer that a model has under these settings."""
        tracer = self._by_model.get(model)
        return tracer if tracer is not None and tracer.settings == settings else None


def trace_models(
    models: Iterable[str], own: Mapping[str | None, str], present: Tracers | None
) -> Tracers | None:
    """Return the tracers that settings ask for; those whose settings did not change count on."""
    by_model: dict[str, Tracer] = {}
    for model in models:
        settings = effective(own.get(None), own.get(model))
        if settings.is_on:
            kept = None if present is None else present.find(model, settings)
            by_model[model] = kept or Tracer(settings)
    return Tracers(by_model) if by_model else None


def effective(*own: str | None) -> TraceSettings:
    """Return the settings that follow from own values as JSON, of which the later ones rule."""
    values: dict[str, object] = {}
    for one in own:
        values |= {} if one is None else msgspec.json.decode(one, type=dict[str, object])
    return msgspec.convert(values, TraceSettings, strict=False)
