"""How a challenger's outputs stand to the live ones, request by request; pure.

Labels, integers and truth values agree where they are equal, an output with a column for each class
where the highest column is the same, other numbers where none lies further apart than a tolerance.
A row agrees or differs; a request differs where any of its rows does.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.audit.comparison import TOLERANCE
from registry.datatypes import FLOATS, Datatype
from registry.manifest import Signature, TensorSpec
from registry.rollouts import Guard, GuardKind, Plan
from registry.tensors import Tensor, datatype_of


class By(StrEnum):
    """What two answers have to agree in."""

    CLASS = "class"  # the column that is highest
    VALUE = "value"  # every element
    NUMBER = "number"  # every number, within the tolerance


class Criterion(Struct, frozen=True):
    """How one output is compared: one column of it, or all where that is None.

    Numbers agree within `tolerance`; where it is None, within what rounding in their datatype makes
    of one number, as in a replay.
    """

    output: str
    by: By
    column: int | None = None
    tolerance: float | None = None


class Fault(StrEnum):
    """What makes the challenger's outputs no answer. Names and datatypes are the champion's."""

    SHAPE = "other-shape"
    NOT_FINITE = "not-finite"  # NaN or an infinity where the live answer has a number


class Difference(Struct, frozen=True):
    """One request's output against the live one, by a criterion.

    The distance of a row is that of its numbers, in the column where they lie furthest apart:
    `distance` is the sum over `measured` rows, `greatest` the greatest. Of the rows that differ
    `worst` is the furthest, or the first where there are no distances.
    """

    rows: int
    agreeing: int
    measured: int = 0
    distance: float = 0.0
    greatest: float = 0.0
    worst: int | None = None
    worst_distance: float | None = None

    @property
    def differs(self) -> bool:
        return self.agreeing < self.rows


def guarded(plan: Plan, signature: Signature) -> tuple[Criterion, ...]:
    """Return how each guard of agreement compares, in the order of the plan.

    One that names no output compares the first.
    """
    return tuple(
        _criterion(_spec(signature, guard.output), signature, guard)
        for guard in plan.guards
        if guard.kind is GuardKind.AGREEMENT
    )


def unguarded(signature: Signature, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
    """Return how the outputs are compared that no guard names."""
    named = {one.output for one in criteria}
    return tuple(
        _criterion(spec, signature, None) for spec in signature.outputs if spec.name not in named
    )


def find_fault(live: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Fault | None:
    """Say why outputs are no answer to the request that the live ones answered; None if they are"""
    for name, tensor in live.items():
        other = found[name]
        if other.shape != tensor.shape:
            return Fault.SHAPE
        if datatype_of(tensor) in FLOATS and _is_lost(tensor, other):
            return Fault.NOT_FINITE
    return None


def differ(criterion: Criterion, live: Tensor, found: Tensor, rows: int) -> Difference:
    """Compare one output of `rows` rows; both are of one datatype and shape.

    An output that does not follow the rows of the input is one row. Where the columns of an output
    are free, both may lack the one that is compared: then there is nothing to differ in.
    """
    count = rows if live.shape[:1] == (rows,) else 1
    if not live.size:
        return Difference(rows=count, agreeing=count)
    before, after = (_columns(one, count, criterion.column) for one in (live, found))
    if not before.size:
        return Difference(rows=count, agreeing=count)
    if datatype_of(live) is Datatype.BYTES:
        pairs = zip(before.flat, after.flat, strict=True)
        unlike = np.array([_text(a) != _text(b) for a, b in pairs])
        return _by_value(unlike.reshape(before.shape))
    if criterion.by is By.VALUE:
        return _by_value(before != after)
    return _by_number(criterion, before, after, TOLERANCE.get(datatype_of(live), 0.0))


def _criterion(spec: TensorSpec, signature: Signature, guard: Guard | None) -> Criterion:
    column = None if guard is None else guard.column
    tolerance = None if guard is None else guard.tolerance
    if spec.datatype not in FLOATS:
        by = By.NUMBER if tolerance and spec.datatype is not Datatype.BYTES else By.VALUE
    elif spec.name in signature.labels and not tolerance:
        by = By.CLASS
    else:
        by = By.NUMBER
    if by is By.CLASS:
        return Criterion(spec.name, by)
    return Criterion(spec.name, by, column, tolerance)


def _spec(signature: Signature, name: str | None) -> TensorSpec:
    return next(spec for spec in signature.outputs if name is None or spec.name == name)


def _is_lost(live: Tensor, found: Tensor) -> bool:
    lost = np.isfinite(live.astype(np.float64)) & ~np.isfinite(found.astype(np.float64))
    return bool(lost.any())


def _columns(tensor: Tensor, rows: int, column: int | None) -> Tensor:
    flat = tensor.reshape(rows, -1)
    return flat if column is None else flat[:, column : column + 1]


def _text(element: str | bytes) -> bytes:
    return element.encode("utf-8", "surrogatepass") if isinstance(element, str) else element


def _by_value(elements: NDArray[Any]) -> Difference:
    """Say what becomes of rows of elements, each of which is unlike or not."""
    unlike: NDArray[Any] = np.any(elements, axis=1)
    differing = int(np.count_nonzero(unlike))
    worst = int(unlike.argmax()) if differing else None
    return Difference(rows=len(unlike), agreeing=len(unlike) - differing, worst=worst)


def _by_number(criterion: Criterion, before: Tensor, after: Tensor, rounding: float) -> Difference:
    before, after = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite in both has no distance
        apart = np.abs(before - after)
    is_same = (before == after) | (np.isnan(before) & np.isnan(after))
    apart[is_same] = 0.0
    if criterion.by is By.CLASS:
        unlike = before.argmax(axis=1) != after.argmax(axis=1)
    elif criterion.tolerance is None:
        scale = np.maximum(1.0, np.maximum(np.abs(before), np.abs(after)))
        unlike = ~(apart <= rounding * scale).all(axis=1)
    else:
        unlike = ~(apart <= criterion.tolerance).all(axis=1)
    furthest = np.where(np.isfinite(apart), apart, 0.0).max(axis=1)
    differing = int(np.count_nonzero(unlike))
    worst = int(np.where(unlike, furthest, -1.0).argmax()) if differing else None
    return Difference(
        rows=len(furthest),
        agreeing=len(furthest) - differing,
        measured=len(furthest),
        distance=float(furthest.sum()),
        greatest=float(furthest.max()),
        worst=worst,
        worst_distance=None if worst is None else float(furthest[worst]),
    )
