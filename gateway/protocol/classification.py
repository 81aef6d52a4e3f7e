"""Answers as the best classes of each row, instead of all values."""

from collections.abc import Sequence
from math import prod

import numpy as np

from registry.datatypes import FLOATS, Datatype
from registry.tensors import Tensor, datatype_of


def best_classes(tensor: Tensor, classes: int, labels: Sequence[str] = ()) -> Tensor:
    """Write the `classes` largest values of each row as texts, the largest first.

    A text is `value:index`, with `:label` behind it where the class has a name.

    Of equal values the first one leads; NaN comes last. A tensor of one dimension is one row; what
    lies behind the first of several dimensions is one row of values.

    >>> best_classes(np.array([[0.25, 0.5, 0.25]], np.float32), 2).tolist()
    [['0.5:1', '0.25:0']]
    >>> best_classes(np.array([[0.25, 0.75]], np.float32), 1, ["early", "late"]).tolist()
    [['0.75:1:late']]
    """
    count, width = (len(tensor), prod(tensor.shape[1:])) if tensor.ndim > 1 else (1, tensor.size)
    rows = tensor.reshape(count, width)
    if datatype_of(tensor) is Datatype.BOOL:
        rows = rows.astype(np.uint8)
    answer = np.empty((count, min(classes, width)), object)
    for place, row in enumerate(rows):
        answer[place] = [_text(row, index, labels) for index in _order(row)[:classes]]
    return answer if tensor.ndim > 1 else answer[0]


def _text(row: Tensor, index: int, labels: Sequence[str]) -> str:
    label = f":{labels[index]}" if index < len(labels) else ""
    return f"{row[index]!s}:{index}{label}"


def _order(row: Tensor) -> list[int]:
    """Return the places of a row's values, the largest value's first."""
    if datatype_of(row) in FLOATS:
        row = np.nan_to_num(row.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    # Sorted backwards and read backwards, a stable sort puts the first of equal values first.
    order: list[int] = (len(row) - 1 - np.argsort(row[::-1], kind="stable")[::-1]).tolist()
    return order
