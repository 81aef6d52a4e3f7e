"""Inputs to try a model on before anybody asks it: its publisher's own, or made from its signature.

A model that fails on made-up values is not a bad model: many operators need particular shapes or
values. One that fails on the sample its publisher gave is.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from registry.datatypes import FLOATS, Datatype
from registry.errors import Rejected, clip
from registry.manifest import SampleTensor, Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor

Inputs = dict[str, Tensor]

_VARIABLE_SIZES = (1, 2)
_SEED = 16


def made_samples(signature: Signature) -> Iterator[Inputs]:
    """Make inputs that fit a signature, the smallest first: zeros, ones, and various values."""
    for size in _VARIABLE_SIZES:
        for fill in (_zeros, _ones, various):
            yield {spec.name: fill(spec, _shape(spec, size)) for spec in signature.inputs}
        if all(size >= 0 for spec in signature.inputs for size in spec.shape):
            return


def given_sample(signature: Signature, sample: Sequence[SampleTensor]) -> Inputs:
    """Read the inputs that a publisher gives. Raises Rejected("sample") where they do not fit."""
    given = {tensor.name: tensor for tensor in sample}
    if set(given) != {spec.name for spec in signature.inputs} or len(given) != len(sample):
        raise Rejected("sample", "A sample has each input of the model once, and no other.")
    return {spec.name: _read(spec, given[spec.name]) for spec in signature.inputs}


def various(spec: TensorSpec, shape: tuple[int, ...], scale: float = 100.0) -> Tensor:
    """Make a tensor of various values, the same each time: numbers of a scale, 0 and 1, texts."""
    random = np.random.default_rng(_SEED)
    if spec.datatype is Datatype.BYTES:
        return random.choice(np.array(["", "a", "text"], object), shape)
    if spec.datatype in FLOATS:
        values: Tensor = np.asarray(random.normal(0.0, scale, shape))
    else:
        values = np.asarray(random.integers(0, 2, shape))
    return values.astype(NUMPY_TYPES[spec.datatype])


def _zeros(spec: TensorSpec, shape: tuple[int, ...]) -> Tensor:
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "", object)
    return np.zeros(shape, NUMPY_TYPES[spec.datatype])


def _ones(spec: TensorSpec, shape: tuple[int, ...]) -> Tensor:
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, "a", object)
    return np.ones(shape, NUMPY_TYPES[spec.datatype])


def _shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    return tuple(size if declared < 0 else declared for declared in spec.shape)


def _read(spec: TensorSpec, given: SampleTensor) -> Tensor:
    fault = Rejected("sample", f"The values for the input {clip(spec.name)!r} do not fit it.")
    if given.datatype != spec.datatype:
        raise fault
    wanted = tuple(
        size if size >= 0 else found for size, found in zip(spec.shape, given.shape, strict=False)
    )
    if given.shape != wanted and not spec.is_unranked:
        raise fault
    try:
        tensor = np.array(given.data, NUMPY_TYPES[spec.datatype]).reshape(given.shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise fault from error
    if spec.datatype is Datatype.BYTES and not all(isinstance(e, str) for e in tensor.flat):
        raise fault
    return tensor
