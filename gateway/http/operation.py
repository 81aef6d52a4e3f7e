"""The protocol's extensions `logging` and `trace`: what workers log, and which requests they trace.

What is set is stored and recorded, and every worker obeys it when the answer is given.
"""

import asyncio
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from msgspec import Struct

from gateway.following import followed
from gateway.http.access import author_of, open_to
from gateway.http.admin import JSON_LIMIT
from gateway.http.health import ModelName
from gateway.logs import LogSettings
from gateway.security import Role
from gateway.tracing import TraceSettings, effective
from registry import service
from registry.errors import InvalidRequest, clip
from registry.registry import Registry
from registry.workers import SettingName

_READERS = open_to(Role.VIEWER, Role.ADMIN)
_ADMINS = open_to(Role.ADMIN)


class LogView(Struct, kw_only=True):
    log_file: str
    log_info: bool
    log_warning: bool
    log_error: bool
    log_verbose_level: int
    log_format: str


class TraceView(Struct, kw_only=True):
    """Numbers are texts here, as clients of the protocol know them."""

    trace_level: list[str]
    trace_rate: str
    trace_count: str
    log_frequency: str


@get("/v2/logging", opt=_READERS)
async def show_logging(registry: NamedDependency[Registry]) -> LogView:
    """Show what workers log; an empty file name stands for standard error."""
    return await asyncio.to_thread(_log_view, registry)


@post("/v2/logging", opt=_ADMINS, request_max_body_size=JSON_LIMIT, status_code=200)
async def change_logging(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry]
) -> LogView:
    """Change what workers log: the keys that are given, and no others."""
    given = _read_object(await request.body())
    if "log_file" in given:
        raise InvalidRequest("log_file", "Logs go to standard error; redirect that to a file.")

    def change(present: str | None) -> str:
        return msgspec.json.encode(_convert({**_decode(present), **given}, LogSettings)).decode()

    await _change(request, registry, SettingName.LOGGING, None, change)
    return await asyncio.to_thread(_log_view, registry)


@get("/v2/trace/setting", opt=_READERS)
async def show_trace(registry: NamedDependency[Registry]) -> TraceView:
    """Show which requests are traced, of models without settings of their own."""
    return await asyncio.to_thread(_trace_view, registry, None)


@post("/v2/trace/setting", opt=_ADMINS, request_max_body_size=JSON_LIMIT, status_code=200)
async def change_trace(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry]
) -> TraceView:
    """Change which requests are traced; null sets a value back to the gateway's own."""
    return await _change_trace(request, registry, None)


@get("/v2/models/{model:str}/trace/setting", opt=_READERS)
async def show_model_trace(registry: NamedDependency[Registry], model: ModelName) -> TraceView:
    """Show which requests of one model are traced."""
    await asyncio.to_thread(registry.versions, model)
    return await asyncio.to_thread(_trace_view, registry, model)


@post(
    "/v2/models/{model:str}/trace/setting",
    opt=_ADMINS,
    request_max_body_size=JSON_LIMIT,
    status_code=200,
)
async def change_model_trace(
    request: Request[Any, Any, Any], registry: NamedDependency[Registry], model: ModelName
) -> TraceView:
    """Change which requests of one model are traced; null leaves a value to that for all models."""
    return await _change_trace(request, registry, model)


async def _change_trace(
    request: Request[Any, Any, Any], registry: Registry, model: str | None
) -> TraceView:
    given = _read_object(await request.body())

    def change(present: str | None) -> str | None:
        own = {
            key: value for key, value in {**_decode(present), **given}.items() if value is not None
        }
        _convert(own, TraceSettings)
        return msgspec.json.encode(own).decode() if own else None

    await _change(request, registry, SettingName.TRACE, model, change)
    return await asyncio.to_thread(_trace_view, registry, model)


async def _change(
    request: Request[Any, Any, Any],
    registry: Registry,
    name: SettingName,
    model: str | None,
    change: Any,
) -> None:
    author = author_of(request)
    await asyncio.to_thread(service.change_setting, registry, name, model, change, author)
    await followed(registry.store)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("body", "Send a JSON object with the keys to change.") from error


def _decode(value: str | None) -> dict[str, Any]:
    return {} if value is None else msgspec.json.decode(value, type=dict[str, Any])


def _convert(values: dict[str, Any], kind: type[Struct]) -> Struct:
    """Check values that a caller gave; numbers may come as texts. Raises InvalidRequest."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(kind.__struct_fields__)
        fault = clip(str(error).replace("`", "'"), 200)
        raise InvalidRequest("body", f"These keys can be set: {known}. {fault}.") from error


def _log_view(registry: Registry) -> LogView:
    value = service.values(registry.store, SettingName.LOGGING).get(None)
    settings = msgspec.json.decode(value or "{}", type=LogSettings)
    return LogView(log_file="", **msgspec.structs.asdict(settings))


def _trace_view(registry: Registry, model: str | None) -> TraceView:
    own = service.values(registry.store, SettingName.TRACE)
    settings = effective(own.get(None), None if model is None else own.get(model))
    return TraceView(
        trace_level=list(settings.trace_level),
        trace_rate=str(settings.trace_rate),
        trace_count=str(settings.trace_count),
        log_frequency=str(settings.log_frequency),
    )
