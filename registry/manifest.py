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
