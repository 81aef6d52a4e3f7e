"""Recorded requests to a champion in the order of time, each read only when it is its turn."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from gateway.rehearsal import kept_or_why, read_payload
from registry.audit.query import AuditTrail
from registry.audit.replay import Kept
from registry.entry import Payload
from registry.errors import RecordNotFound
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.times import from_us
from registry.versions import Version

# Beside the reasons of a rehearsed contract: the caller did not ask for all outputs.
OUTPUTS = "outputs"
REMOVED = "removed"  # since the rehearsal began
# In service by `routing_key` before all else: then a step has other callers than it has here.
CALLERS = (
    "known by the `id` of their requests, else each request is a caller of its own: the parameter"
    " `routing_key` is in no record"
)


class Request(Struct, frozen=True):
    """A recorded request with all of its input, and all outputs of the run where there was one."""

    record: AuditRecord
    payload: Payload
    kept: Kept

    @property
    def at(self) -> datetime:
        """When it came."""
        return from_us(int(self.record.time) // 1000)

    @property
    def key(self) -> str:
        """What its caller is known by, as `CALLERS` says."""
        return self.record.request_id or self.record.id


def find_requests(
    trail: AuditTrail, champion: Version, since: datetime | None, until: datetime
) -> list[str]:
    """Return the ids of what callers asked a champion in a time, oldest first."""
    wanted = RecordFilter(
        model=champion.model,
        version=champion.number,
        lane=Lane.CHAMPION,
        kind=Kind.INFERENCE,
        since=since,
        until=until,
    )
    return [found.record.id for found in trail.walk(wanted)][::-1]


def read_requests(
    trail: AuditTrail, record_ids: Iterable[str], outputs: frozenset[str]
) -> Iterator[Request | str]:
    """Read requests one after the other, or say in a word why one cannot be taken.

    `outputs` are those that the guards may look at: of an answer all of them are needed.
    """
    for record_id in record_ids:
        try:
            record = trail.record(record_id).record
            payload = read_payload(trail, record)
        except RecordNotFound:
            yield REMOVED
        else:
            yield _request(record, payload, outputs)


def _request(record: AuditRecord, payload: Payload | str, outputs: frozenset[str]) -> Request | str:
    if isinstance(payload, str):
        return payload
    kept = kept_or_why(record, payload)
    if isinstance(kept, str):
        return kept
    if record.outcome is Outcome.ANSWERED and not outputs <= kept.outputs.keys():
        return OUTPUTS
    return Request(record, payload, kept)
