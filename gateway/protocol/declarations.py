"""What an input says of itself, its datatype and shape, against the signature."""

from math import prod
from typing import Any

from gateway.protocol.refusal import Tally
from registry.records import TensorSpec
from registry.tensors import Datatype

MAX_RANK = 32
MAX_ELEMENTS = 1 << 27
MAX_TEXTS = 1 << 20  # elements of BYTES cost far more memory than numbers do
_MAX_DIMENSION = (1 << 63) - 1
_DATATYPES = frozenset(Datatype)

Shape = tuple[int, ...]


def accept_datatype(declared: Any, spec: TensorSpec, tally: Tally) -> bool:
    """Whether an input has the signature's datatype; a violation is counted where it has not."""
    if declared == spec.datatype:
        return True
    exists = isinstance(declared, str) and declared in _DATATYPES
    rule = "dtype-mismatch" if exists else "bad-datatype"
    tally.add(spec.name, rule, f"datatype {spec.datatype}")
    return False


def accept_shape(declared: Any, spec: TensorSpec, tally: Tally) -> Shape | None:
    """Return a shape that the signature accepts, or None after counting the violation.

    Nothing is allocated by then, and the product is taken without wrapping.
    """
    if not is_shape(declared):
        expected = f"at most {MAX_RANK} whole numbers from 0 to {_MAX_DIMENSION}"
        tally.add(spec.name, "bad-shape", expected)
        return None
    elements = prod(declared)
    if elements > MAX_ELEMENTS:
        tally.add(spec.name, "shape-too-large", f"at most {MAX_ELEMENTS} elements")
    elif not _fits(declared, spec.shape):
        tally.add(spec.name, "shape-not-accepted", f"shape {list(spec.shape)}")
    elif elements > MAX_TEXTS and spec.datatype is Datatype.BYTES:
        tally.add(spec.name, "too-many-elements", f"at most {MAX_TEXTS} texts")
    else:
        return tuple(declared)
    return None


def is_shape(declared: Any) -> bool:
    """Whether a value is a list of dimensions, whatever the model wants.

    >>> is_shape([1, 30]), is_shape([1.0]), is_shape([True]), is_shape([-1])
    (True, False, False, False)
    """
    if type(declared) is not list or len(declared) > MAX_RANK:
        return False
    # `bool` is an `int` to isinstance, and no dimension.
    return all(type(size) is int and 0 <= size <= _MAX_DIMENSION for size in declared)


def _fits(shape: list[int], wanted: Shape) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(accepted in (-1, size) for size, accepted in zip(shape, wanted, strict=True))
