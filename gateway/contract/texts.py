"""How rules on texts, and on values that are one of a few, are tested: value by value.

The elements of BYTES are `str`; only categories know `bytes` too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gateway.contract.numbers import Marker, Mask
from registry.datatypes import Datatype
from registry.manifest import Rule
from registry.patterns import Pattern
from registry.tensors import Tensor

Breaks = Callable[[Any], bool]


def pick(tensor: Tensor, column: int | None) -> Tensor:
    """Return one column of the last dimension, or the whole."""
    picked: Tensor = tensor if column is None else tensor[..., column]
    return picked


def marks_each(breaks: Breaks) -> Marker:
    """Mark the elements that break a rule, one by one."""

    def marks(tensor: Tensor) -> Mask:
        found = [breaks(value) for value in np.ravel(tensor).tolist()]
        return np.array(found, np.bool_).reshape(np.shape(tensor))

    return marks


def breaks_none(breaks: Breaks, column: int | None) -> Callable[[Tensor], bool]:
    """Make the screen of a rule that is tested one by one."""

    def holds(tensor: Tensor) -> bool:
        for value in pick(tensor, column).ravel().tolist():  # noqa: SIM110 - twice as fast as `any`
            if breaks(value):
                return False
        return True

    return holds


def is_empty(text: str | bytes) -> bool:
    return not text


def allowed_values(datatype: Datatype, values: Sequence[str]) -> frozenset[Any]:
    """Return what the categories are as elements of a tensor."""
    if datatype is Datatype.BOOL:
        return frozenset(value == "true" for value in values)
    if datatype is not Datatype.BYTES:
        return frozenset(int(value) for value in values)
    texts = {"", *values}  # an empty text is a missing value, which breaks no category
    return frozenset(texts | {text.encode() for text in texts})


def holds_only(allowed: frozenset[Any], column: int | None) -> Callable[[Tensor], bool]:
    return lambda tensor: allowed.issuperset(pick(tensor, column).ravel().tolist())


def breaks_categories(allowed: frozenset[Any]) -> Breaks:
    return lambda value: value not in allowed


def breaks_length(rule: Rule) -> Breaks:
    """Test the number of characters of a text that is not missing."""
    low = max(1, 0 if rule.low is None else math.ceil(rule.low))
    high = math.inf if rule.high is None else rule.high
    return lambda text: bool(text) and not low <= len(text) <= high


def breaks_pattern(rule: Rule) -> Breaks:
    """Test whether a text that is not missing fits as a whole."""
    assert rule.pattern is not None
    fits = Pattern(rule.pattern).fits
    return lambda text: bool(text) and not fits(text)
