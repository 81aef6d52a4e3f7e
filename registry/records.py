"""The audit log, as frozen values: its records, checkpoints and names; queries and tallies of it.

Times are UTC, but in a record, which has them as text.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What a record tells of."""

    INFERENCE = "inference"
    ADMIN = "admin"
    DAMAGE = "damage"  # durable records could not be read back
    ERASURE = "erasure"  # what was kept of one person is gone
    REMOVAL = "removal"  # what was kept for as long as it had to be is gone
    ORIGIN = "origin"  # the log goes on under another name, since what it had signed is lost
    ROTATION = "rotation"  # the log is signed by another key from here on
    READ = "read"  # somebody read audit data
    REPLAY = "replay"  # recorded inputs were run again
    FINDING = "finding"  # the traffic of a version left its reference, or came back
    FEEDBACK = "feedback"  # ground truth came, late, for what was answered


class Lane(StrEnum):
    """How a request met its version."""

    CHAMPION = "champion"
    PINNED = "pinned"  # the caller named the version
    FALLBACK = "fallback"  # it stood in for the champion, which a finding is open of
    CANARY = "canary"  # a rollout gave the caller to the challenger
    SHADOW = "shadow"  # the challenger ran beside the answer, and answered nobody


class Outcome(StrEnum):
    ANSWERED = "answered"  # an inference was answered
    REFUSED = "refused"  # the request was at fault
    FAILED = "failed"  # the gateway or the model was at fault
    DONE = "done"  # an admin action took effect


class AuditRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """One audit entry. Its JSON bytes, written once, are the leaf: stored and proved as they are.

    `v` is the format's version. Holds strings, integers and arrays of strings only, and commitments
    instead of payloads: nothing here needs to be erased. `id` is a UUIDv7, `time` nanoseconds since
    1970 in UTC as a string, `trace` the id of the caller's own trace, `latency_us` the microseconds
    from the body's arrival to the record, `batch` the rows that ran together and `batch_row` where
    this request's began, `input` and `output` the commitments of `registry.entry`, and
    `subject_commitment` that of the person whom the request named. `reduced` names what was treated
    before it was committed to, as in `age:bucket`, and `payload` says why none is kept: `digest`,
    `unsampled`, `too-large` or `off`. `violations`, `flags`, `observed` and `repaired` name rule,
    input and row, as in `range distance[3]`; where a rule did less than it declares they say so, as
    in `range distance[3] (would reject)`. What an erasure or a removal took away is `count` things,
    of the records with indexes from `first` to `last`, the newest of the time `newest`. `vkeys` are
    the verifier keys of the log before and from this record on. `rollout` is the id of the rollout
    that chose the lane, or that is told of; `twin` the record of the answer that a shadow ran
    beside; `canary_error` the code that a challenger failed with, where the champion answered in
    its place.
    """

    id: str
    kind: Kind
    time: str
    outcome: Outcome
    principal: str | None = None
    source: str | None = None
    request_id: str | None = None
    trace: str | None = None
    model: str | None = None
    version: int | None = None
    digest: str | None = None
    manifest: str | None = None
    runtime: str | None = None
    lane: str | None = None
    rows: int | None = None
    batch: int | None = None
    batch_row: int | None = None
    error: str | None = None
    latency_us: int | None = None
    input: str | None = None
    output: str | None = None
    subject_commitment: str | None = None
    reduced: tuple[str, ...] = ()
    payload: str | None = None
    violations: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    action: str | None = None
    alias: str | None = None
    previous: int | None = None
    subject: str | None = None
    reason: str | None = None
    count: int | None = None
    first: int | None = None
    last: int | None = None
    newest: str | None = None
    vkeys: tuple[str, ...] = ()
    rollout: str | None = None
    twin: str | None = None
    canary_error: str | None = None


class Origin(Struct, frozen=True, kw_only=True):
    """A name and a key of the log; both hold from leaf `since` on, until the next one's.

    `vkey` is the verifier key (C2SP signed-note). Under one name the log is one tree that only
    grows; it gets another name where it cannot keep that promise.
    """

    name: str
    vkey: str
    since: int
    at: datetime


class SignedCheckpoint(Struct, frozen=True, kw_only=True):
    """The signed head of the log: what its first `size` leaves hash to, and the note saying so."""

    size: int
    root: bytes
    note: str
    signed: datetime


class RecordFilter(Struct, frozen=True, kw_only=True):
    """Which records a query asks for; None accepts everything. `since` <= time < `until`."""

    model: str | None = None
    version: int | None = None
    lane: str | None = None
    kind: Kind | None = None
    principal: str | None = None
    outcome: Outcome | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Aspect(StrEnum):
    """What a tally counts records by, beside their stream and hour."""

    RECORD = "record"  # the record itself
    ERROR = "error"  # the code that it was refused or failed with
    VIOLATION = "violation"  # a rule that it was refused for
    FLAG = "flag"  # a rule that its answer says it broke
    OBSERVED = "observed"  # a rule that only the record says it broke
    REPAIRED = "repaired"  # a rule that made another value of one


class Tally(Struct, frozen=True, kw_only=True):
    """How many records a period has that are alike; `name` is the error code or rule, if any.

    The period begins at `start`.
    """

    start: datetime
    kind: Kind
    outcome: Outcome
    model: str | None
    version: int | None
    lane: str | None
    aspect: Aspect
    name: str
    count: int
