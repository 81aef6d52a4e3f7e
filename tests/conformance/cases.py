"""The ONNX project's own test models, as `onnx.backend.test` ships them: bytes, inputs, answers."""

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")
_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"


class DataSet(Struct, frozen=True):
    """Inputs in the order of the model's, and the answers expected; sequences are lists."""

    inputs: tuple[Any, ...]
    expected: tuple[Any, ...]


class Case(Struct, frozen=True, kw_only=True):
    """One test model, and how near an answer must come."""

    kind: str
    name: str
    artifact: bytes
    data: tuple[DataSet, ...]
    rtol: float
    atol: float


@cache
def load_cases() -> tuple[Case, ...]:
    """Load every test model that needs no download, in the order of kinds and names."""
    with warnings.catch_warnings():
        # Expected answers are computed while loading: overflows, and NaN made on purpose.
        warnings.simplefilter("ignore")
        cases = [_case(test) for kind in KINDS for test in load_model_tests(kind=kind)]
    return tuple(sorted(cases, key=lambda case: (KINDS.index(case.kind), case.name)))


def _case(test: Any) -> Case:
    if test.model is not None:
        model, data = test.model, [DataSet(_arrays(i), _arrays(o)) for i, o in test.data_sets]
    else:
        model = onnx.load(Path(test.model_dir) / "model.onnx")
        data = list(_stored_data(Path(test.model_dir), model))
    return Case(
        kind=test.kind,
        name=test.name,
        artifact=model.SerializeToString(),
        data=tuple(data),
        rtol=test.rtol,
        atol=test.atol,
    )


def _arrays(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_array(value) for value in values)


def _array(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if value is None or isinstance(value, list | onnx.SequenceProto | onnx.OptionalProto):
        return value
    return np.asarray(value)


def _stored_data(folder: Path, model: onnx.ModelProto) -> Iterator[DataSet]:
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.type for value in model.graph.input if value.name not in given]
    outputs = [value.type for value in model.graph.output]
    for data_set in sorted(folder.glob("test_data_set_*")):
        yield DataSet(
            tuple(_read(data_set, "input", number, kind) for number, kind in enumerate(inputs)),
            tuple(_read(data_set, "output", number, kind) for number, kind in enumerate(outputs)),
        )


def _read(folder: Path, role: str, number: int, kind: onnx.TypeProto) -> Any:
    content = (folder / f"{role}_{number}.pb").read_bytes()
    if kind.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))
