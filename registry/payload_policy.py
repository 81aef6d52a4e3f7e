"""What of a model's payloads is kept: the policy as an operator sets it, and whether it can be met.

A policy is about what is written at all; how long that stays is the matter of retention.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise

import msgspec
from msgspec import Struct

from registry.datatypes import FLOAT_BOUNDS, INTEGER_BOUNDS, Datatype
from registry.errors import InvalidRequest, clip
from registry.manifest import Signature, TensorSpec

_MOST_REDUCED_BYTES = 12 << 10  # as JSON: every record of an inference names what was treated


class Mode(StrEnum):
    """Which payloads are kept."""

    FULL = "full"  # all
    SAMPLED = "sampled"  # a share of them; the others are committed to
    DIGEST = "digest"  # none; all are committed to
    OFF = "off"  # none, and none is committed to


class How(StrEnum):
    """What is done to an input or output before anything of it is written."""

    KEEP = "keep"
    PSEUDONYMISE = "pseudonymise"  # each element becomes a code that is the same for equal ones
    BUCKET = "bucket"  # each number becomes the lower edge of its bucket
    DROP = "drop"


class Treatment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one input or output is treated; `edges` are those of the buckets, ascending."""

    how: How
    edges: tuple[int | float, ...] = ()


class PayloadPolicy(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is kept of the payloads of a model.

    `share` is that of `sampled`. A payload of more than `limit` bytes is committed to alone; None
    leaves that to the gateway. Inputs and outputs that are not named are kept as they are.
    """

    mode: Mode = Mode.FULL
    share: float | None = None
    limit: int | None = None
    inputs: dict[str, Treatment] = {}
    outputs: dict[str, Treatment] = {}

    @property
    def needs_key(self) -> bool:
        """Whether something is pseudonymised."""
        treatments = [*self.inputs.values(), *self.outputs.values()]
        return any(one.how is How.PSEUDONYMISE for one in treatments)


def check_policy(policy: PayloadPolicy, signatures: Sequence[Signature]) -> None:
    """Accept a policy that every signature of a model's versions can meet. Raises InvalidRequest.

    An input or output that one version lacks must be one of another's, or its name is a mistake.
    """
    if (policy.share is not None) != (policy.mode is Mode.SAMPLED):
        raise _invalid("`share` belongs to the mode `sampled`, which needs it")
    if policy.share is not None and not 0 < policy.share < 1:
        raise _invalid("`share` lies between 0 and 1")
    if policy.limit is not None and policy.limit < 0:
        raise _invalid("`limit` is a number of bytes from 0")
    if policy.mode in (Mode.DIGEST, Mode.OFF) and (policy.inputs or policy.outputs):
        raise _invalid(f"the mode {policy.mode.value!r} keeps no values that could be treated")
    if len(msgspec.json.encode(reductions(policy))) > _MOST_REDUCED_BYTES:
        raise _invalid(f"what it treats takes more than {_MOST_REDUCED_BYTES:,} bytes to name")
    _check_named("input", policy.inputs, [signature.inputs for signature in signatures])
    _check_named("output", policy.outputs, [signature.outputs for signature in signatures])


def reductions(policy: PayloadPolicy) -> tuple[str, ...]:
    """Name what a policy treats, as records do."""
    treated = (*policy.inputs.items(), *policy.outputs.items())
    return tuple(reduction(name, treatment) for name, treatment in treated)


def reduction(name: str, treatment: Treatment) -> str:
    """Name one input or output and what is done to it.

    >>> reduction("age", Treatment(how=How.DROP))
    'age:drop'
    """
    return f"{name}:{treatment.how.value}"


def treatment_fault(spec: TensorSpec, treatment: Treatment) -> str:
    """Say why an input or output cannot be treated so; empty where it can."""
    if bool(treatment.edges) != (treatment.how is How.BUCKET):
        return "`edges` belong to a bucket, which needs at least one"
    if treatment.how is How.PSEUDONYMISE and spec.datatype not in (Datatype.BYTES, *INTEGER_BOUNDS):
        return f"it is {spec.datatype}, and texts and whole numbers alone can be pseudonymised"
    if treatment.how is How.BUCKET:
        return _edges_fault(spec, treatment.edges)
    return ""


def _check_named(
    kind: str, treatments: Mapping[str, Treatment], versions: Iterable[tuple[TensorSpec, ...]]
) -> None:
    known = [{spec.name: spec for spec in specs} for specs in versions]
    for name, treatment in treatments.items():
        specs = [version[name] for version in known if name in version]
        if not specs:
            raise _invalid(f"the model has no {kind} {clip(name)!r}")
        for spec in specs:
            if fault := treatment_fault(spec, treatment):
                raise _invalid(f"{kind} {clip(name)!r} cannot be treated so: {fault}")


def _edges_fault(spec: TensorSpec, edges: tuple[int | float, ...]) -> str:
    if spec.datatype in FLOAT_BOUNDS:
        greatest = FLOAT_BOUNDS[spec.datatype]
        if not all(math.isfinite(edge) and abs(edge) <= greatest for edge in edges):
            return f"an edge is not a number of {spec.datatype}"
    elif spec.datatype in INTEGER_BOUNDS:
        least, most = INTEGER_BOUNDS[spec.datatype]
        if not all(isinstance(edge, int) and least <= edge <= most for edge in edges):
            return f"an edge is not a number of {spec.datatype}"
    else:
        return f"it is {spec.datatype}, and buckets need numbers"
    return "" if all(a < b for a, b in pairwise(edges)) else "`edges` ascend"


def _invalid(fault: str) -> InvalidRequest:
    return InvalidRequest("policy", f"This payload policy cannot be obeyed: {fault}.")
