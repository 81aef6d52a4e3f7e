"""Training data as named columns: read from files or frames, digested, matched to a signature."""

from collections.abc import Mapping
from hashlib import sha256
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from registry.datatypes import FLOATS, Datatype
from registry.errors import Rejected, clip
from registry.manifest import Signature, TensorSpec
from registry.tensors import NUMPY_TYPES, Tensor, encode_tensors

# The input of a model that was trained on a matrix without column names.
MATRIX_INPUT = "X"

Columns = dict[str, Tensor]


class Frame(Protocol):
    """What this module needs of a pandas DataFrame, so that pandas need not be installed."""

    @property
    def columns(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __len__(self) -> int: ...


Table = Mapping[str, Tensor] | Frame | Tensor


def read_table(path: Path) -> Columns:
    """Read the columns of a .csv, .parquet or .npz file.

    Numbers keep their type, and turn to FP64 with NaN where some are missing; times and dates
    become ISO texts; missing texts become empty ones. Nothing in the file is ever executed.

    Raises Rejected("reference") where the file cannot be read as a table.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Rejected("reference", f"{path.name!r} is not a .csv, .parquet or .npz file.")
    try:
        with path.open("rb") as file:  # readers that open a path name it in their errors
            return columns_of(reader(file))
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n", 1)[0]
        raise Rejected("reference", f"{path.name!r} cannot be read: {clip(reason, 200)}") from error


def columns_of(table: Table) -> Columns:
    """Take a table apart into tensors of NUMPY_TYPES, each with one element or row per table row.

    A matrix [n, k] without names becomes the one column `X`. Missing numbers are NaN, missing
    texts empty. Raises Rejected("reference") where a column is neither numbers nor texts.
    """
    if isinstance(table, np.ndarray):
        columns = {MATRIX_INPUT: _plain(MATRIX_INPUT, table)}
    elif isinstance(table, Mapping):
        columns = {name: _plain(name, tensor) for name, tensor in table.items()}
    else:
        columns = {str(name): _plain(str(name), _values(table[name])) for name in table.columns}
    lengths = {tensor.shape[0] if tensor.ndim else 0 for tensor in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise Rejected("reference", "A table needs columns of one equal length, above zero.")
    return columns


def digest_columns(columns: Mapping[str, Tensor]) -> str:
    """Digest the canonical bytes of all columns, in their order."""
    return f"sha256:{sha256(encode_tensors(columns)).hexdigest()}"


def match_inputs(columns: Mapping[str, Tensor], signature: Signature) -> Columns:
    """Give each input its column, in the datatype and shape that the model takes.

    Columns are found by name, and others are ignored. Where none has its name, a model with one
    input takes the one column of the table, and one with one matrix input [-1, k] takes k columns
    in their order.

    Raises Rejected("reference") where an input has no column or the column does not fit it.
    """
    missing = [spec.name for spec in signature.inputs if spec.name not in columns]
    if not missing:
        return {spec.name: _fit(spec, columns[spec.name]) for spec in signature.inputs}
    if len(signature.inputs) == 1:
        spec = signature.inputs[0]
        if len(columns) == 1:
            return {spec.name: _fit(spec, next(iter(columns.values())))}
        if len(spec.shape) == 2:
            return {spec.name: _fit(spec, _stack(spec, columns))}
    names = ", ".join(repr(clip(name)) for name in missing[:5])
    raise Rejected("reference", f"The table has no column for the inputs {names}.")


def _read_csv(file: BinaryIO) -> Columns:
    return _from_arrow(pyarrow.csv.read_csv(file))


def _read_parquet(file: BinaryIO) -> Columns:
    return _from_arrow(pyarrow.parquet.read_table(file))


def _read_npz(file: BinaryIO) -> Columns:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _from_arrow(table: pa.Table) -> Columns:
    if len(set(table.column_names)) != table.num_columns:
        raise Rejected("reference", "Two columns of the table have the same name.")
    return {name: _arrow_values(name, table[name]) for name in table.column_names}


def _arrow_values(name: str, column: pa.ChunkedArray) -> Tensor:
    types = pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_temporal(column.type):
        column = column.cast(pa.string())
    if types.is_decimal(column.type) or types.is_null(column.type):
        column = column.cast(pa.float64())
    if types.is_boolean(column.type) and column.null_count:
        column = column.cast(pa.uint8())  # and on to FP64, which has a sign for missing
    if types.is_string(column.type) or types.is_large_string(column.type):
        return np.array(column.to_pylist(), object)
    if not types.is_primitive(column.type):
        raise Rejected(
            "reference", f"Column {clip(name)!r} holds {column.type}; it cannot be read."
        )
    values: Tensor = column.to_numpy()
    return values


def _values(series: Any) -> Tensor:
    """Read the values of a pandas Series, whose several signs for missing all become None."""
    values: Tensor = series.to_numpy()
    if values.dtype.kind == "O":
        values = values.copy()
        values[np.asarray(series.isna(), bool)] = None
    return values


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Bring an array into the types of NUMPY_TYPES."""
    kind = tensor.dtype.kind
    if kind == "O":
        return _plain_objects(name, tensor)
    if kind in "UST":
        return _plain_objects(name, tensor.astype(object))
    if kind in "mM":
        return np.where(np.isnat(tensor), "", tensor.astype(np.str_)).astype(object)
    plain = tensor.astype(tensor.dtype.newbyteorder("<"))
    if plain.dtype not in NUMPY_TYPES.values():
        raise Rejected("reference", f"Column {clip(name)!r} holds {tensor.dtype}; use FP64.")
    return plain


def _plain_objects(name: str, tensor: Tensor) -> Tensor:
    try:
        elements = [_known(element) for element in tensor.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise Rejected("reference", f"Column {clip(name)!r} has a text not in UTF-8.") from error
    present = [element for element in elements if element is not None]
    if not present or all(isinstance(element, str) for element in present):
        texts = np.array(["" if text is None else text for text in elements], object)
        return texts.reshape(tensor.shape)
    if not all(isinstance(element, bool | int | float) for element in present):
        raise Rejected("reference", f"Column {clip(name)!r} mixes numbers, texts or other things.")
    complete = len(present) == len(elements)
    numbers = np.array(elements, None if complete else np.float64)  # None becomes NaN
    return _plain(name, numbers.reshape(tensor.shape)) if numbers.dtype != object else numbers


def _known(element: Any) -> Any:
    if isinstance(element, bytes):
        return element.decode()
    return None if isinstance(element, float) and isnan(element) else element


def _stack(spec: TensorSpec, columns: Mapping[str, Tensor]) -> Tensor:
    wanted = spec.shape[1]
    if wanted not in (-1, len(columns)):
        raise Rejected(
            "reference",
            f"Input {spec.name!r} takes {wanted} columns and the table has {len(columns)}: "
            "leave exactly the inputs in it, in their order.",
        )
    if any(tensor.ndim != 1 for tensor in columns.values()):
        raise Rejected("reference", f"The table has a matrix that is not named {spec.name!r}.")
    return np.stack([_cast(spec, name, tensor) for name, tensor in columns.items()], axis=1)


def _fit(spec: TensorSpec, tensor: Tensor) -> Tensor:
    cast = _cast(spec, spec.name, tensor)
    rest = spec.shape[1:]
    if cast.ndim == 1 and rest in ((1,), (-1,)):
        return cast.reshape(-1, 1)
    if cast.ndim == 2 and cast.shape[1] == 1 and len(spec.shape) == 1:
        return cast.reshape(-1)
    fits = cast.ndim == len(spec.shape) and all(
        wanted in (-1, found) for wanted, found in zip(rest, cast.shape[1:], strict=True)
    )
    if not fits:
        raise Rejected(
            "reference",
            f"Input {spec.name!r} has the shape {list(spec.shape)}, "
            f"its column {list(tensor.shape)}.",
        )
    return cast


def _cast(spec: TensorSpec, name: str, tensor: Tensor) -> Tensor:
    """Cast a column to an input's datatype where no value is lost but digits of a fraction."""
    if (spec.datatype is Datatype.BYTES) != (tensor.dtype.kind == "O"):
        wants, has = ("texts", "numbers") if tensor.dtype.kind != "O" else ("numbers", "texts")
        raise Rejected(
            "reference", f"Input {spec.name!r} takes {wants} and column {clip(name)!r} has {has}."
        )
    if spec.datatype is Datatype.BYTES:
        return tensor
    with np.errstate(over="ignore", invalid="ignore"):  # what did not fit is found below
        cast = tensor.astype(NUMPY_TYPES[spec.datatype])
        if spec.datatype in FLOATS:
            fits = np.array_equal(np.isfinite(cast), np.isfinite(tensor))
        else:
            fits = np.array_equal(cast, tensor)
    if not fits:
        raise Rejected(
            "reference",
            f"Column {clip(name)!r} has values that {spec.datatype}, "
            f"the datatype of input {spec.name!r}, cannot hold.",
        )
    return cast
