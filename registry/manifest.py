"""What a version keeps beside its artifact: signature, contract, reference, lineage, certificate.

Frozen values; unknown fields are refused wherever one of these is read from a file or a request.
"""

from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from registry.datatypes import Datatype
from registry.distribution import Reference
from registry.errors import Rejected

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
    """What a rule of the contract does about a request that breaks it."""

    REJECT = "reject"  # refuse the request
    FLAG = "flag"  # answer, and say so in the answer and in the record
    OBSERVE = "observe"  # answer, and say so in the record alone
    CLIP = "clip"  # answer from the nearest value of the range, and say so in both
    IMPUTE = "impute"  # answer from the rule's `value`, and say so in both


REPAIRS = frozenset({Action.CLIP, Action.IMPUTE})


class RuleKind(StrEnum):
    RANGE = "range"
    CATEGORIES = "categories"
    MISSING = "missing"
    INTEGER = "integer"
    LENGTH = "length"
    PATTERN = "pattern"
    JOINT = "joint"
    MISSING_RATE = "missing_rate"
    FINITE = "finite"


# In place of an input's name: the rule is on whole rows, of all inputs together.
WHOLE_ROWS = "*"
DERIVED_WARM_UP_S = 3600.0
REFUSAL_CAP = 0.05


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule on the values of one input, or of one column of its last dimension.

    A missing value (NaN, or the empty text) breaks only the rule `missing`. What must hold:

    - `range`: low <= value <= high; a side that is absent is open. So is that of `length`.
    - `categories`: the value is one of `values`.
    - `missing`: no value is missing; `value` is what one is replaced by, where it is imputed.
    - `integer`: the value is whole, and so are infinities: a range excludes those.
    - `length`: the characters of a text are at least `low` and at most `high`.
    - `pattern`: the whole text fits the regular expression `pattern` of `registry.patterns`.
    - `joint`: the squared distance of a row is at most `high`, as the reference's `joint` measures
      it; `input` is "*".
    - `missing_rate`: of the rows of a window, a share of at most `high` is missing. It is judged
      over windows, never of one request.
    - `finite`: the value is neither infinite nor NaN; of outputs alone.
    """

    input: str
    kind: RuleKind
    action: Action
    column: int | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    pattern: str | None = None
    value: float | str | None = None


class OutputRule(Rule, frozen=True, kw_only=True, rename={"input": "output"}):
    """One rule on the values of one output; `input` is its name, written as `output`."""

    input: str


class Contract(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules on the values of a request and its answer; no rules accept every value.

    For `warm_up_s` seconds after an alias or a rollout first named the version, every rule acts as
    `observe`.
    Where more than a share `refusal_cap` of a version's requests would be refused, rules that
    reject act as `flag`; None is no cap.
    """

    rules: tuple[Rule, ...] = ()
    outputs: tuple[OutputRule, ...] = ()
    warm_up_s: float = 0.0
    refusal_cap: float | None = REFUSAL_CAP


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


def write_manifest(manifest: Manifest) -> bytes:
    """Write a manifest, having read it back: what cannot be read again is no manifest.

    Raises Rejected.
    """
    fault = "A number in the manifest is not finite, or a text is no Unicode."
    try:
        content = msgspec.json.encode(manifest)
        is_whole = msgspec.json.decode(content, type=Manifest) == manifest
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError) as error:
        raise Rejected("manifest", fault) from error
    if not is_whole:
        raise Rejected("manifest", fault)
    return content
