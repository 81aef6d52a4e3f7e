"""Everything the registry stores, as frozen values.

Unknown fields are refused wherever one of these is read from a file or a request. Times are UTC.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from registry.datatypes import Datatype

CHAMPION = "champion"

# A name that is also a safe path segment, file name and label.
NAME_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,127}$"
# These would collide with routes of the protocol.
RESERVED_MODEL_NAMES = frozenset({"stats"})

Scalar = str | int | float | bool | None


class TensorSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input or output: its name, element type and shape, where -1 is a variable dimension.

    Where the file names no shape `is_unranked` holds: any number of dimensions will do, and `shape`
    is one of them, variable.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    is_unranked: bool = False


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Names, datatypes and shapes of the inputs and outputs of a version.

    `shared` has the variable dimensions that must agree, by the name that the file gives them: each
    place is an input and the position of the dimension. `labels` has the names of the classes, for
    outputs that have a column for each.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    shared: dict[str, tuple[tuple[str, int], ...]] = {}
    labels: dict[str, tuple[str, ...]] = {}


class Action(StrEnum):
    """What a rule of the contract does to a request that breaks it."""

    REJECT = "reject"  # refuse the request
    FLAG = "flag"  # answer, and say so in the answer and in the record
    OBSERVE = "observe"  # answer, and say so in the record alone


class RuleKind(StrEnum):
    RANGE = "range"
    CATEGORIES = "categories"
    MISSING = "missing"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule on the values of one input, or of one column of its last dimension.

    `range`: every value lies in [low, high]; a side that is absent is open. `categories`: every
    value is one of `values`. `missing`: no value is missing (NaN, or the empty string). A missing
    value breaks only the rule `missing`.
    """

    input: str
    kind: RuleKind
    action: Action
    column: int | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


class Contract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules that the values of a request must meet; no rules accept every value."""

    rules: tuple[Rule, ...] = ()


class Numeric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="numeric"):
    """Distribution of numbers: moments, and counts of the bins between frozen quantile edges.

    Bin i holds the values v with edges[i-1] < v <= edges[i]; the outer bins are open.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    edges: tuple[float, ...]
    bin_counts: tuple[int, ...]


class Categorical(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="categorical"):
    """Distribution of texts: each value kept with its count, and the count of all others.

    Only values seen often enough not to point at one person are kept by name.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    other: int


class Feature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reference of one input, or of one column of its last dimension.

    `count` are the values present and `missing` those absent. `distribution` is None where no value
    was present.
    """

    input: str
    count: int
    missing: int
    distribution: Numeric | Categorical | None
    column: int | None = None


class Reference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distribution of each input on the training side."""

    rows: int
    features: tuple[Feature, ...]


class Metric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured quality: its value, on how many rows, and its 95 % interval."""

    name: str
    value: float
    n: int
    low: float
    high: float


class Lineage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a version comes from: data, code, settings, libraries, and how good it was."""

    data_digest: str | None = None
    data_rows: int | None = None
    data_columns: tuple[str, ...] = ()
    code_commit: str | None = None
    hyper_parameters: dict[str, Scalar] = {}
    libraries: dict[str, str] = {}
    metrics: tuple[Metric, ...] = ()


class Parity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the artifact's answers lie from those of the model it was converted from."""

    rows: int
    tolerance: float
    largest_difference: float
    labels_equal: float


class SampleTensor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input of a sample, as the protocol's JSON form has it: data flat and row-major."""

    name: str
    shape: tuple[int, ...]
    datatype: Datatype
    data: tuple[Any, ...]


class Certificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What admission found when it ran the artifact: its runtime and the time of one run.

    `run_ms` is None where the model ran on nothing that was tried: it may need values that only
    its publisher knows. `is_deterministic` is False where the same input gets other answers, None
    where nobody can say.
    """

    runtime: str
    load_ms: float
    run_ms: float | None
    is_deterministic: bool | None = None


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a publisher says of a file: everything of a manifest that admission does not find.

    `sample` is an input that the model must run on, and that it is warmed with.
    """

    contract: Contract = Contract()
    reference: Reference | None = None
    lineage: Lineage = Lineage()
    description: str = ""
    parity: Parity | None = None
    sample: tuple[SampleTensor, ...] = ()


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a version keeps beside its artifact; immutable, stored by its digest.

    `original` is the digest of the file as it was published, where the artifact is another: an
    output that was a ZipMap is served as its tensor.
    """

    artifact: str
    signature: Signature
    contract: Contract
    reference: Reference | None
    lineage: Lineage
    description: str
    parity: Parity | None
    certificate: Certificate
    sample: tuple[SampleTensor, ...] = ()
    original: str | None = None


class VersionState(StrEnum):
    PUBLISHED = "published"
    RETIRED = "retired"


class Version(Struct, frozen=True, kw_only=True):
    """One immutable artifact of a model, numbered 1, 2, 3 …; only its state ever changes."""

    model: str
    number: int
    artifact: str
    manifest: str
    state: VersionState
    author: str
    created: datetime


class AliasCause(StrEnum):
    PROMOTE = "promote"
    ROLL_BACK = "rollback"
    POINT = "point"
    REMOVE = "remove"


class AliasChange(Struct, frozen=True, kw_only=True):
    """One entry of an alias's history: which version it names from then on, by whom and why."""

    model: str
    alias: str
    version: int | None
    cause: AliasCause
    at: datetime
    principal: str
    reason: str
    record_id: str


class Key(Struct, frozen=True, kw_only=True):
    """An API key as it is stored: the digest of its secret, never the secret."""

    id: str
    name: str
    digest: bytes
    roles: tuple[str, ...]
    author: str
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """What one worker serves: the generation of the store it obeys, and what it could not load.

    `failures` has a sentence for each version, as in `flights/2`, that an alias names in vain.
    """

    worker: str
    pid: int
    generation: int
    failures: dict[str, str]


class SettingName(StrEnum):
    """What an operator can set while the gateway runs."""

    UNLOADED = "unloaded"  # the model is out of service, whatever its aliases name
    LOGGING = "logging"
    TRACE = "trace"
    PAYLOAD_POLICY = "payload-policy"  # what of the payloads of a model is kept
    RETENTION = "retention"  # how long payloads and records of a model are kept
    HOLD = "hold"  # nothing of the model may go, for the reason that is the value


class Setting(Struct, frozen=True, kw_only=True):
    """One value that workers obey: of one model, or of all where `model` is None; JSON."""

    name: SettingName
    model: str | None
    value: str


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


class Lane(StrEnum):
    """How a request met its version."""

    CHAMPION = "champion"
    PINNED = "pinned"  # the caller named the version


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
    `unsampled`, `too-large` or `off`. `violations`, `flags` and `observed` name rule, input and
    row, as in `range distance[3]`. What an erasure or a removal took away is `count` things, of the
    records with indexes from `first` to `last`, the newest of the time `newest`. `vkeys` are the
    verifier keys of the log before and from this record on.
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


def to_json(value: Struct) -> bytes:
    """Write a value as the JSON bytes that are stored and digested."""
    return msgspec.json.encode(value)
