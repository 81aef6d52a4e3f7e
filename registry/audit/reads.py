"""Records of reads: who looked at audit data, and what they asked for."""

from registry.entry import new_record_id, now_ns
from registry.records import AuditRecord, Kind, Outcome

# A leaf has room for 65,535 bytes (C2SP tlog-tiles); nobody asks for so much by hand.
_LONGEST_SUBJECT = 2_000


def read_record(
    action: str, subject: str, *, rows: int | None, principal: str, source: str | None = None
) -> AuditRecord:
    """Make the record of one read: the route or command, what was asked for, how many it gave.

    `rows` is None where nobody knows before the answer has begun.
    """
    time_ns = now_ns()
    return AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.READ,
        time=str(time_ns),
        outcome=Outcome.ANSWERED,
        principal=principal,
        source=source,
        rows=rows,
        action=action,
        subject=subject[:_LONGEST_SUBJECT],
    )
