"""Audit routes: find records, read one, read its payload."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Raw, Struct

from gateway.http.access import open_to
from gateway.http.filters import FILTERS, Wanted
from gateway.http.reads import tell_rows
from gateway.protocol.response import JsonTensor, json_tensor
from gateway.security import Role
from registry.audit.query import AuditTrail, Found
from registry.entry import Payload, commit
from registry.records import AuditRecord
from registry.tensors import decode_tensors

_AUDITORS = open_to(Role.AUDITOR)

RecordId = Annotated[str, PathParameter(description="Id of a record.")]


class RecordView(Struct, kw_only=True):
    """A record as it was written, and its index in the log; null until it is integrated."""

    index: int | None
    record: Raw


class RecordPage(Struct, kw_only=True):
    """Records, newest first; ask again with `cursor` for those that follow."""

    records: list[RecordView]
    cursor: str | None


class PayloadView(Struct, kw_only=True):
    """Input and output of a record; `committed` says whether they are what it commits to.

    It is null, and both are empty, where the payload was too large to be kept.
    """

    record_id: str
    committed: bool | None
    salt: str
    inputs: list[JsonTensor]
    outputs: list[JsonTensor]


@get("/audit/records", opt=_AUDITORS, dependencies=FILTERS, sync_to_thread=True)
def find_records(
    request: Request[Any, Any, Any],
    trail: NamedDependency[AuditTrail],
    wanted: Wanted,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, QueryParameter()] = None,
) -> RecordPage:
    """Find records, newest first: from `from` on and before `to`."""
    page = trail.find(wanted, limit=limit, cursor=cursor)
    tell_rows(request, len(page.records))
    return RecordPage(records=[_view(found) for found in page.records], cursor=page.cursor)


@get("/audit/records/{record_id:str}", opt=_AUDITORS, sync_to_thread=True)
def show_record(trail: NamedDependency[AuditTrail], record_id: RecordId) -> RecordView:
    """Show one record."""
    return _view(trail.record(record_id))


@get("/audit/records/{record_id:str}/payload", opt=_AUDITORS, sync_to_thread=True)
def show_payload(trail: NamedDependency[AuditTrail], record_id: RecordId) -> PayloadView:
    """Show the input and the output of one record."""
    record = trail.record(record_id).record
    payload = trail.payload(record_id)
    return PayloadView(
        record_id=record.id,
        committed=_is_committed(record, payload),
        salt=payload.salt.hex(),
        inputs=_json_tensors(payload.input),
        outputs=_json_tensors(payload.output),
    )


def _json_tensors(data: bytes | None) -> list[JsonTensor]:
    return [json_tensor(name, tensor) for name, tensor in decode_tensors(data or b"").items()]


def _is_committed(record: AuditRecord, payload: Payload) -> bool | None:
    if payload.input is None or payload.output is None:
        return None
    return record.input == commit(payload.salt, payload.input) and (
        record.output is None or record.output == commit(payload.salt, payload.output)
    )


def _view(found: Found) -> RecordView:
    return RecordView(index=found.index, record=msgspec.Raw(found.leaf))
