"""Conditions on requests that change something: the state they are meant for (`If-Match`, RFC 9110
section 13.1.1), and whether they are only tried out (`dry_run`).
"""

import re
from typing import Annotated, Any

from litestar import Request
from litestar.di import Provide
from litestar.params import QueryParameter

from registry.errors import InvalidRequest
from registry.registry import Registry
from registry.trials import if_unchanged

_PREFIX = "/admin/"
_READS = frozenset({"GET", "HEAD"})
_ANY = "*"
_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"(?:\s*,\s*(?:W/)?"[\x21\x23-\x7e]*")*')
_DRY_RUN = "dry_run"

DryRun = Annotated[
    bool, QueryParameter(description="Show what would be done and what is checked; change nothing.")
]


def write_tag(state: str) -> str:
    """Write the tag of a state as the header `ETag`."""
    return f'"{state}"'


def provide_registry(registry: Registry) -> Provide:
    """Give each request the registry under the condition that it has."""

    def provide(request: Request[Any, Any, Any]) -> Registry:
        return conditioned(registry, request)

    return Provide(provide, sync_to_thread=False)


def conditioned(registry: Registry, request: Request[Any, Any, Any]) -> Registry:
    """Return the registry that a request may change: under its condition, if it has one.

    Raises InvalidRequest for a header that cannot be read, or where nothing could be compared.
    """
    given = request.headers.getall("if-match", [])
    wanted = ", ".join(given).strip()
    if not given or not is_write(request) or wanted == _ANY:
        return registry
    if not _TAGS.fullmatch(wanted):
        raise InvalidRequest("If-Match", 'Send the ETag of a model as it was given: "…".')
    model = request.path_params.get("model")
    if model is None:
        raise InvalidRequest("If-Match", "Only what is asked of a model can be so conditioned.")
    # A weak tag is never equal here, as the standard has it: none is given out.
    tags = set(re.findall(r'(?<!W/)"([^"]*)"', wanted))
    return if_unchanged(registry, model, tags)


def refuse_blind_dry_run(request: Request[Any, Any, Any]) -> None:
    """Refuse a trial of what cannot be tried out: it must never be done in earnest.

    Raises InvalidRequest.
    """
    if request.method in _READS or _DRY_RUN not in request.query_params:
        return
    if len(request.query_params.getall(_DRY_RUN)) > 1:
        raise InvalidRequest(_DRY_RUN, "`dry_run` is given more than once; nothing was done.")
    if _DRY_RUN not in request.route_handler.parsed_fn_signature.parameters:
        raise InvalidRequest(_DRY_RUN, "This route has no `dry_run`; nothing was done.")


def is_write(request: Request[Any, Any, Any]) -> bool:
    """Say whether a request may change what operators decide on."""
    return request.method not in _READS and request.url.path.startswith(_PREFIX)
