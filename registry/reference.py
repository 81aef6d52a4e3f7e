"""The stored distribution of each input: derived once from the training data, then frozen.

Live traffic is counted in the same bins, so counts of any two sets of rows simply add.
"""

from collections import Counter
from collections.abc import Mapping
from math import isnan

import numpy as np
from numpy.typing import NDArray

from registry.datatypes import Datatype
from registry.distribution import LEAST_COUNT, Categorical, Feature, Numeric, Reference
from registry.errors import Rejected
from registry.tensors import NUMPY_TYPES, Tensor

BINS = 20
MOST_VALUES = 200


def derive_reference(columns: Mapping[str, Tensor]) -> Reference:
    """Derive the distribution of every input from its training values.

    A tensor [n] or [n, 1] becomes one feature, a tensor [n, k] one feature for each of its k
    columns. Numbers and booleans (counted as 0 and 1) become Numeric, texts Categorical. Missing is
    NaN among numbers, and None, NaN or the empty text among texts. Values must already have the
    datatype that the model takes: 0.1 in 32 bits is not 0.1 in 64, and would fall into another bin.

    Raises Rejected("reference") for infinite values, for elements that are neither number nor text,
    for more than two dimensions and for inputs of different lengths.
    """
    lengths = {len(tensor) for tensor in columns.values() if tensor.ndim}
    if len(lengths) != 1 or 0 in lengths:
        raise Rejected("reference", "The reference needs inputs of one equal length, above zero.")
    features = [feature for name in columns for feature in _features(name, columns[name])]
    return Reference(rows=lengths.pop(), features=tuple(features))


def quantile(numeric: Numeric, share: float) -> float:
    """Read a quantile from the edges: the first edge that `share` of the values do not exceed.

    Exact for the multiples of one twentieth that the edges were placed at.
    """
    reached = np.cumsum(numeric.bin_counts) >= share * sum(numeric.bin_counts)
    index = int(np.argmax(reached))
    return numeric.edges[index] if index < len(numeric.edges) else numeric.maximum


def _features(name: str, tensor: Tensor) -> list[Feature]:
    if tensor.ndim == 1 or tensor.shape[1:] == (1,):
        return [_feature(name, tensor.reshape(-1), None)]
    if tensor.ndim != 2:
        raise Rejected(
            "reference",
            f"Input {name!r} has {tensor.ndim} dimensions; a reference describes one or two.",
        )
    return [_feature(name, tensor[:, column], column) for column in range(tensor.shape[1])]


def _feature(name: str, values: Tensor, column: int | None) -> Feature:
    if values.dtype.kind in "OUS":
        texts = [text for text in (_text(name, value) for value in values.tolist()) if text]
        count, distribution = len(texts), _categorical(texts) if texts else None
        return Feature(
            input=name,
            column=column,
            count=count,
            missing=len(values) - count,
            distribution=distribution,
        )
    # The kinds of numpy's numbers; BF16 is of no kind of its own.
    if values.dtype.kind not in "biuf" and values.dtype != NUMPY_TYPES[Datatype.BF16]:
        raise Rejected("reference", f"Input {name!r} holds {values.dtype}, not numbers or texts.")
    numbers = values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    if np.isinf(present).any():
        raise Rejected("reference", f"Input {name!r} holds an infinite value; mark it as missing.")
    return Feature(
        input=name,
        column=column,
        count=present.size,
        missing=numbers.size - present.size,
        distribution=_numeric(present) if present.size else None,
    )


def _text(name: str, value: object) -> str:
    """Read one element as text; the empty text where it is missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Rejected("reference", f"Input {name!r} holds a text not in UTF-8.") from error
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    raise Rejected(
        "reference", f"Input {name!r} holds a {type(value).__name__} where texts are expected."
    )


def _numeric(present: NDArray[np.float64]) -> Numeric:
    """Place edges at the twentieths of the values, and count the bins between them.

    An edge is a value that occurs, so a value that fills several twentieths gives one edge, not
    several equal ones.
    """
    ordered = np.sort(present)
    ranks = -(-np.arange(1, BINS) * ordered.size // BINS)  # rounded up
    edges = np.unique(ordered[ranks - 1])
    counts = np.bincount(np.searchsorted(edges, ordered, side="left"), minlength=edges.size + 1)
    # Moments of scaled values: a sum of the largest numbers would not be finite.
    scale = float(np.abs(ordered[[0, -1]]).max()) or 1.0
    scaled = ordered / scale
    return Numeric(
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        mean=float(scaled.mean()) * scale,
        std=float(scaled.std()) * scale,
        edges=tuple(edges.tolist()),
        bin_counts=tuple(counts.tolist()),
    )


def _categorical(texts: list[str]) -> Categorical:
    ranked = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    kept = [(value, count) for value, count in ranked if count >= LEAST_COUNT][:MOST_VALUES]
    counts = tuple(count for _, count in kept)
    return Categorical(
        values=tuple(value for value, _ in kept), counts=counts, other=len(texts) - sum(counts)
    )
