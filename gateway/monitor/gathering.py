"""The tensors of many requests joined to one, so that their values are counted together."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from msgspec import Struct

from gateway.monitor.cells import FeatureCells
from registry.tensors import Tensor

Tensors = Mapping[str, Tensor]


class Source(Struct, frozen=True):
    """A tensor and what is counted of it: [rows, width], or all of its elements if width is None.

    `is_whole` says that there is a feature for each column, in their order.
    """

    name: str
    width: int | None
    features: tuple[FeatureCells, ...]

    @property
    def is_whole(self) -> bool:
        return [feature.column for feature in self.features] == list(range(self.width or 0))

    def gather(self, requests: Sequence[Tensors]) -> Tensor | None:
        """Join what the requests have under the name, rows after rows; None where nobody has."""
        parts = [request[self.name] for request in requests if self.name in request]
        if not parts:
            return None
        if self.width is None:
            return np.concatenate([part.reshape(-1) for part in parts])
        return np.concatenate([_rows(part, self.width) for part in parts])


def sources(features: Sequence[FeatureCells]) -> tuple[Source, ...]:
    """Name the tensors that features, one for each value of a row, are counted from."""
    by_name: dict[str, list[FeatureCells]] = {}
    for feature in features:
        by_name.setdefault(feature.input, []).append(feature)
    return tuple(
        Source(name, _width(of_tensor), tuple(of_tensor)) for name, of_tensor in by_name.items()
    )


def _width(features: Sequence[FeatureCells]) -> int | None:
    columns = [feature.column for feature in features if feature.column is not None]
    return 1 + max(columns) if columns else None


def _rows(part: Tensor, width: int) -> Tensor:
    """Cut a tensor to [rows, width]; elements that a row lacks are missing values."""
    if part.ndim == 2 and part.shape[1] == width:
        return part
    has_rows = part.ndim > 1
    columns = part.shape[-1] if has_rows else 1
    rows = part.reshape(prod(part.shape[:-1]) if has_rows else part.size, columns)
    if columns >= width:
        return rows[:, :width]
    is_text = part.dtype.kind in "OUS"
    padded = np.full((len(rows), width), "" if is_text else np.nan, object if is_text else float)
    padded[:, :columns] = rows
    return padded
