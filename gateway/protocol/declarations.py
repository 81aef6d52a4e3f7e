"""What an input says of itself, its datatype and shape, against the signature."""

from collections.abc import Sequence
from math import prod
from typing import Any

from gateway.protocol.refusal import Tally
from registry.datatypes import Datatype
from registry.manifest import TensorSpec

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

    Nothing is allocated by then, and the number of elements is taken without wrapping.
    """
    if type(declared) is list and _fits(declared, spec):
        return tuple(declared)
    rule, expected = _shape_fault(declared, spec)
    tally.add(spec.name, rule, expected)
    return None


def has_shape(spec: TensorSpec, shape: Shape) -> bool:
    """Whether a signature accepts a shape that is made of integers alone."""
    return _fits(shape, spec)


def is_shape(declared: Any) -> bool:
    """Whether a value is a list of dimensions, whatever the model wants.

    >>> is_shape([1, 30]), is_shape([1.0]), is_shape([True]), is_shape([-1])
    (True, False, False, False)
    """
    if type(declared) is not list or len(declared) > MAX_RANK:
        return False
    return all(type(size) is int and 0 <= size <= _MAX_DIMENSION for size in declared)


def _fits(declared: Sequence[Any], spec: TensorSpec) -> bool:
    wanted = _wanted(spec, len(declared))
    if len(declared) != len(wanted) or len(declared) > MAX_RANK:
        return False
    return 0 <= _count_elements(declared, wanted) <= _most_elements(spec)


def _wanted(spec: TensorSpec, rank: int) -> Shape:
    return (-1,) * rank if spec.is_unranked else spec.shape


def _count_elements(declared: Sequence[Any], wanted: Shape) -> int:
    """Count the elements of a shape of the rank wanted; -1 if it is not accepted."""
    elements = 1
    for size, accepted in zip(declared, wanted, strict=False):  # the check of `strict` costs 0.1 us
        # `bool` is an `int` to isinstance, and no dimension.
        if type(size) is not int or not 0 <= size <= _MAX_DIMENSION:
            return -1
        if accepted not in (size, -1):
            return -1
        elements *= size
    return elements


def _most_elements(spec: TensorSpec) -> int:
    return MAX_TEXTS if spec.datatype is Datatype.BYTES else MAX_ELEMENTS


def _shape_fault(declared: Any, spec: TensorSpec) -> tuple[str, str]:
    """Say which rule a shape breaks that was not accepted, and what would have been accepted."""
    if not is_shape(declared):
        return "bad-shape", f"at most {MAX_RANK} whole numbers from 0 to {_MAX_DIMENSION}"
    if prod(declared) > MAX_ELEMENTS:
        return "shape-too-large", f"at most {MAX_ELEMENTS} elements"
    wanted = _wanted(spec, len(declared))
    if len(declared) != len(wanted) or _count_elements(declared, wanted) < 0:
        return "shape-not-accepted", f"shape {list(spec.shape)}"
    return "too-many-elements", f"at most {MAX_TEXTS} texts"
