"""From columns of values to a reference: each described by the kind that it is of."""

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

import numpy as np

from registry.datatypes import Datatype
from registry.distribution import Distribution, Feature, Reference
from registry.errors import Rejected, clip
from registry.reference.embedding import describe_vectors
from registry.reference.joint import describe_joint
from registry.reference.numeric import describe_numbers
from registry.reference.texts import describe_texts
from registry.tensors import NUMPY_TYPES, Tensor

# Longer vectors are described as a whole.
MOST_COLUMNS = 64
_TEXT_KINDS = "OUS"


def derive_reference(
    columns: Mapping[str, Tensor], *, outputs: Mapping[str, Tensor] | None = None
) -> Reference:
    """Derive the distribution of every input from its training values, and of every output.

    A tensor [n] or [n, 1] becomes one feature, one [n, k] a feature for each of its k columns, or
    one for all of them where these are more than `MOST_COLUMNS` numbers. Booleans, and whole
    numbers of few values, become Discrete, other numbers Numeric; texts become Categorical,
    HighCardinality or FreeText. Missing is NaN among numbers, and None, NaN or the empty text among
    texts. Values must already have the datatype that the model takes: 0.1 in 32 bits is not 0.1 in
    64, and would fall into another bin.

    `outputs` are what the model answers on rows that it was not trained on, all of one length.
    Those of more than two dimensions are left out, and what is not finite is missing.

    The same values give the same reference, in any process. Raises Rejected("reference") for
    infinite values among the inputs, for elements that are neither number nor text, for inputs of
    more than two dimensions and for tensors of different lengths.
    """
    rows = _rows(columns, "inputs")
    parts = [part for name, tensor in columns.items() for part in _parts(name, tensor)]
    features = [_feature(part) for part in parts]
    answers = {name: t for name, t in (outputs or {}).items() if t.ndim in (1, 2)}
    return Reference(
        rows=rows,
        features=tuple(features),
        joint=describe_joint(features, [part.values for part in parts]),
        output_rows=_rows(answers, "outputs") if answers else 0,
        outputs=tuple(
            _feature(part) for name, t in answers.items() for part in _parts(name, _finite(t))
        ),
    )


class _Part(NamedTuple):
    """What becomes one feature: a column [n], or vectors [n, k] that are described as a whole."""

    name: str
    column: int | None
    values: Tensor


def _rows(tensors: Mapping[str, Tensor], what: str) -> int:
    lengths = {len(tensor) if tensor.ndim else 0 for tensor in tensors.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise Rejected("reference", f"The reference needs {what} of one equal length, above zero.")
    return lengths.pop()


def _parts(name: str, tensor: Tensor) -> list[_Part]:
    if tensor.ndim == 1 or tensor.shape[1:] == (1,):
        return [_Part(name, None, tensor.reshape(-1))]
    if tensor.ndim != 2:
        raise Rejected(
            "reference",
            f"Input {clip(name)!r} has {tensor.ndim} dimensions; a reference describes one or two.",
        )
    if tensor.shape[1] > MOST_COLUMNS and tensor.dtype.kind not in _TEXT_KINDS:
        return [_Part(name, None, tensor)]
    return [_Part(name, column, tensor[:, column]) for column in range(tensor.shape[1])]


def _feature(part: _Part) -> Feature:
    if part.values.dtype.kind in _TEXT_KINDS:
        texts = [text for text in (_text(part.name, v) for v in part.values.tolist()) if text]
        count, distribution = len(texts), describe_texts(texts) if texts else None
        return _counted(part, count, distribution)
    # The kinds of numpy's numbers; BF16 is of no kind of its own.
    if part.values.dtype.kind not in "biuf" and part.values.dtype != NUMPY_TYPES[Datatype.BF16]:
        raise Rejected(
            "reference",
            f"Input {clip(part.name)!r} holds {part.values.dtype}, not numbers or texts.",
        )
    if part.values.ndim == 2:
        _check_finite(part.name, part.values)
        embedding, count = describe_vectors(part.values)
        return _counted(part, count, embedding)
    numbers = part.values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    _check_finite(part.name, present)
    found = describe_numbers(present, part.values.dtype) if present.size else None
    return _counted(part, present.size, found)


def _counted(part: _Part, count: int, distribution: Distribution | None) -> Feature:
    return Feature(
        input=part.name,
        column=part.column,
        count=count,
        missing=len(part.values) - count,
        distribution=distribution,
    )


def _check_finite(name: str, values: Tensor) -> None:
    if np.isinf(values).any():
        raise Rejected(
            "reference", f"Input {clip(name)!r} holds an infinite value; mark it as missing."
        )


def _finite(tensor: Tensor) -> Tensor:
    """Mark as missing what is not finite."""
    if tensor.dtype.kind in "biu" or tensor.dtype.kind in _TEXT_KINDS:
        return tensor
    return np.where(np.isfinite(tensor), tensor, np.array(np.nan, tensor.dtype))


def _text(name: str, value: object) -> str:
    """Read one element as text; the empty text where it is missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Rejected(
                "reference", f"Input {clip(name)!r} holds a text not in UTF-8."
            ) from error
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    raise Rejected(
        "reference",
        f"Input {clip(name)!r} holds a {type(value).__name__} where texts are expected.",
    )
