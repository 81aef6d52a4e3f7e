"""How far two sets of outputs lie from each other, output by output; pure.

Bits decide. Only where bits differ do distances matter: numbers of the same datatype and shape may
lie within the tolerance of their datatype, texts, truth values and integers never may.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.datatypes import FLOATS, Datatype
from registry.tensors import NUMPY_TYPES, Tensor, datatype_of, element_bytes

# Numbers a and b are within it where |a - b| <= tolerance * max(1, |a|, |b|): several times what
# one operation in the datatype rounds by, as sums in another order need it.
TOLERANCE: dict[Datatype, float] = {
    Datatype.FP64: 1e-9,
    Datatype.FP32: 1e-5,
    Datatype.FP16: 1e-2,
    Datatype.BF16: 5e-2,
}


class Distance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far one output lies from the recorded one.

    Of `elements`, `differing` have other bits and `beyond` lie outside of the tolerance.
    `max_absolute` and `max_ulps` (steps between neighbouring numbers of the datatype) are the
    largest over the pairs of finite numbers, None where there are none. `changed_labels` counts the
    texts, integers or truth values that differ or, in an output with a column for each class, the
    rows whose highest column is another. `mismatch` says what kept the values from being compared.
    """

    output: str
    elements: int
    differing: int
    beyond: int
    max_absolute: float | None = None
    max_ulps: int | None = None
    changed_labels: int | None = None
    mismatch: str | None = None

    @property
    def is_identical(self) -> bool:
        return self.differing == 0 and self.mismatch is None

    @property
    def is_within(self) -> bool:
        """Whether every element lies within the tolerance."""
        return self.beyond == 0 and self.mismatch is None


def measure(name: str, recorded: Tensor, found: Tensor | None, *, has_classes: bool) -> Distance:
    """Measure one output; `has_classes` says that it has a column for each class.

    Elements are the same where their bits are, NaN included. A NaN with other bits is within the
    tolerance of a NaN, and no number is.
    """
    mismatch = _mismatch(recorded, found)
    if found is None or mismatch is not None:
        count = recorded.size
        return Distance(
            output=name, elements=count, differing=count, beyond=count, mismatch=mismatch
        )
    if datatype_of(recorded) in FLOATS:
        return _measure_numbers(name, recorded, found, has_classes=has_classes)
    unlike = _unlike(recorded, found)
    return Distance(
        output=name,
        elements=recorded.size,
        differing=unlike,
        beyond=unlike,
        changed_labels=unlike,
    )


def measure_all(
    recorded: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    with_classes: frozenset[str] = frozenset(),
) -> tuple[Distance, ...]:
    """Measure every recorded output; others that were found are nobody's answer."""
    return tuple(
        measure(name, tensor, found.get(name), has_classes=name in with_classes)
        for name, tensor in recorded.items()
    )


def _mismatch(recorded: Tensor, found: Tensor | None) -> str | None:
    if found is None:
        return "there is no such output"
    before, after = datatype_of(recorded), datatype_of(found)
    if before != after:
        return f"datatype {before} became {after}"
    if recorded.shape != found.shape:
        return f"shape {list(recorded.shape)} became {list(found.shape)}"
    return None


def _unlike(recorded: Tensor, found: Tensor) -> int:
    if datatype_of(recorded) is Datatype.BYTES:
        pairs = zip(_texts(recorded), _texts(found), strict=True)
        return sum(before != after for before, after in pairs)
    return int(np.count_nonzero(recorded != found))


def _texts(tensor: Tensor) -> list[bytes]:
    return [e.encode() if isinstance(e, str) else bytes(e) for e in tensor.ravel().tolist()]


def _measure_numbers(name: str, recorded: Tensor, found: Tensor, *, has_classes: bool) -> Distance:
    is_other = _bits(recorded) != _bits(found)
    changed = _changed_rows(recorded, found) if has_classes else None
    differing = int(np.count_nonzero(is_other))
    if not differing:
        return Distance(
            output=name, elements=recorded.size, differing=0, beyond=0, changed_labels=changed
        )
    before, after = recorded.ravel()[is_other], found.ravel()[is_other]
    wide_before, wide_after = before.astype(np.float64), after.astype(np.float64)
    are_finite = np.isfinite(wide_before) & np.isfinite(wide_after)
    with np.errstate(over="ignore"):  # numbers at both ends lie infinitely far apart
        apart = np.abs(wide_before[are_finite] - wide_after[are_finite])
    scale = np.maximum(np.abs(wide_before[are_finite]), np.abs(wide_after[are_finite]))
    allowed = TOLERANCE[datatype_of(recorded)] * np.maximum(1.0, scale)
    both_missing = np.isnan(wide_before) & np.isnan(wide_after)
    unlike = np.count_nonzero(~are_finite & ~both_missing)
    steps = _steps(_bits(before)[are_finite], _bits(after)[are_finite])
    return Distance(
        output=name,
        elements=recorded.size,
        differing=differing,
        beyond=int(np.count_nonzero(apart > allowed) + unlike),
        max_absolute=float(apart.max()) if apart.size else None,
        max_ulps=int(steps.max()) if steps.size else None,
        changed_labels=changed,
    )


def _bits(tensor: Tensor) -> NDArray[Any]:
    size = NUMPY_TYPES[datatype_of(tensor)].itemsize
    return np.frombuffer(element_bytes(tensor), np.dtype(f"<u{size}"))


def _steps(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Count the numbers of the datatype from one to the other; both zeros are one number."""
    first, second = _rank(before), _rank(after)
    steps: NDArray[Any] = np.maximum(first, second) - np.minimum(first, second)
    return steps


def _rank(bits: NDArray[Any]) -> NDArray[Any]:
    """Number IEEE 754 numbers in their order, from their sign and magnitude."""
    sign = np.array(1 << (bits.itemsize * 8 - 1), bits.dtype)
    magnitude = bits & ~sign
    ranks: NDArray[Any] = np.where(bits & sign, sign - magnitude, sign + magnitude)
    return ranks


def _changed_rows(recorded: Tensor, found: Tensor) -> int | None:
    if recorded.ndim == 0 or recorded.shape[-1] == 0:
        return None
    before, after = (one.astype(np.float64).argmax(axis=-1) for one in (recorded, found))
    return int(np.count_nonzero(before != after))
