"""Training data from every source gives the same columns, and fits a model or is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from registry.datatypes import Datatype
from registry.errors import Rejected
from registry.manifest import Signature, TensorSpec
from registry.publishing.tables import columns_of, digest_columns, match_inputs, read_table
from registry.tensors import Tensor, decode_tensors, encode_tensors

FRAME = pd.DataFrame(
    {
        "carrier": ["UA", "NA", None],
        "distance": [1.5, np.nan, 3.0],
        "hour": [1, 2, 3],
        "night": [True, False, True],
    }
)


def takes(*inputs: tuple[str, Datatype, tuple[int, ...]]) -> Signature:
    return Signature(
        inputs=tuple(TensorSpec(name=n, datatype=d, shape=s) for n, d, s in inputs), outputs=()
    )


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert encode_tensors(left) == encode_tensors(right)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "training.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pandas(FRAME), path)
    return path


def test_csv_parquet_npz_and_a_frame_give_the_same_columns(tmp_path: Path, parquet: Path) -> None:
    expected = columns_of(FRAME)
    csv = tmp_path / "training.CSV"
    FRAME.to_csv(csv, index=False)
    npz = tmp_path / "training.npz"
    np.savez(npz, **{**expected, "carrier": np.array(["UA", "NA", ""])})
    assert expected["carrier"].tolist() == ["UA", "NA", ""]
    assert expected["hour"].dtype == np.int64
    assert expected["night"].dtype == np.bool_
    assert np.isnan(expected["distance"][1])
    for path in (csv, parquet, npz):
        assert_same(read_table(path), expected)


def test_what_other_types_mean_is_written_as_numbers_or_texts(tmp_path: Path) -> None:
    path = tmp_path / "training.parquet"
    table = pa.table(
        {
            "day": pa.array([None, 1], pa.date32()),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "maybe": pa.array([True, None]),
            "price": pa.array([1, 2], pa.decimal128(9, 2)),
            "none": pa.nulls(2),
        }
    )
    pyarrow.parquet.write_table(table, path)
    columns = read_table(path)
    assert columns["day"].tolist() == ["", "1970-01-02"]
    assert columns["kind"].tolist() == ["a", ""]
    assert columns["price"].tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(columns["maybe"], [1.0, np.nan])
    assert np.isnan(columns["none"]).all()


def test_every_sign_for_missing_in_a_frame_reads_alike() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], "Int64"),
            "word": pd.array(["a", None], "string"),
            "group": pd.Categorical(["a", None]),
            "raw": pd.Series([b"a", float("nan")], dtype=object),
            "time": pd.Series(pd.to_datetime(["2013-01-01", None])),
        }
    )
    columns = columns_of(frame)
    np.testing.assert_array_equal(columns["whole"], [1.0, np.nan])
    assert [columns[name].tolist() for name in ("word", "group", "raw")] == [["a", ""]] * 3
    assert columns["time"].tolist()[1] == ""
    assert columns["time"].tolist()[0].startswith("2013-01-01T00:00:00")


def test_every_table_can_be_written_canonically() -> None:
    columns = columns_of(
        {
            "swapped": np.arange(3, dtype=">f8"),
            "bytes": np.array(["é".encode(), b"b", b""]),
            "long": np.array([1, 2, 2**40], object),
        }
    )
    assert decode_tensors(encode_tensors(columns)).keys() == columns.keys()
    assert columns["bytes"].tolist() == ["é", "b", ""]
    assert columns["long"].dtype == np.int64


def test_the_digest_depends_on_values_names_and_order() -> None:
    a, b = np.array([1.0, 2.0]), np.array(["x", "y"], object)
    digests = {
        digest_columns({"a": a, "b": b}),
        digest_columns({"b": b, "a": a}),
        digest_columns({"a": a, "c": b}),
        digest_columns({"a": a + 1, "b": b}),
    }
    assert len(digests) == 4
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)
    assert digest_columns({"a": a.copy(), "b": b.copy()}) in digests


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.txt", b"a\n1\n"),
        ("table.csv", b""),
        ("table.csv", b"a,b\n1\n"),
        ("table.csv", b"a,a\n1,2\n"),
        ("table.csv", b"a,b\n"),
        ("table.csv", b"a\n\xff\xfe\n1\n"),
        ("table.parquet", b"PAR1"),
        ("table.npz", b"PK\x03\x04"),
        ("table.npz", b"nonsense"),
        ("table.npz", b""),
    ],
)
def test_a_file_that_is_not_a_table_is_rejected(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Rejected) as refusal:
        read_table(path)
    assert refusal.value.check == "reference"
    assert str(tmp_path) not in str(refusal.value)


def test_a_file_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet", ".npz"):
        with pytest.raises(Rejected):
            read_table(tmp_path / f"absent{suffix}")


def test_an_npz_that_would_run_code_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, a=np.array([object()], object))
    with pytest.raises(Rejected, match="cannot be read"):
        read_table(path)


def test_a_column_of_lists_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    pyarrow.parquet.write_table(pa.table({"a": [[1], [2]]}), path)
    with pytest.raises(Rejected, match="'a'"):
        read_table(path)


def test_columns_are_found_by_name_and_cast_to_what_the_model_takes() -> None:
    signature = takes(
        ("hour", Datatype.FP32, (-1, 1)),
        ("carrier", Datatype.BYTES, (-1, 1)),
        ("distance", Datatype.FP32, (-1,)),
    )
    inputs = match_inputs(columns_of(FRAME), signature)
    assert [(n, t.dtype, t.shape) for n, t in inputs.items()] == [
        ("hour", np.float32, (3, 1)),
        ("carrier", object, (3, 1)),
        ("distance", np.float32, (3,)),
    ]


def test_a_matrix_input_takes_the_columns_in_their_order() -> None:
    columns = columns_of({"b": np.array([1, 2]), "a": np.array([0.5, np.nan])})
    for width in (2, -1):
        inputs = match_inputs(columns, takes(("X", Datatype.FP32, (-1, width))))
        np.testing.assert_array_equal(inputs["X"], np.array([[1, 0.5], [2, np.nan]], np.float32))


def test_a_matrix_goes_to_the_only_input_whatever_its_name() -> None:
    inputs = match_inputs(columns_of(np.eye(2)), takes(("float_input", Datatype.FP32, (-1, 2))))
    assert inputs["float_input"].tolist() == [[1, 0], [0, 1]]


def test_a_vector_goes_to_an_input_of_one_column_and_back() -> None:
    column = columns_of({"a": np.ones((2, 1))})
    assert match_inputs(column, takes(("a", Datatype.FP64, (-1,))))["a"].shape == (2,)


@pytest.mark.parametrize(
    ("columns", "signature", "names"),
    [
        ({"a": np.ones(2)}, takes(("a", Datatype.FP32, (-1, 1)), ("b", Datatype.FP32, (-1,))), "b"),
        ({"a": np.ones(2), "b": np.ones(2)}, takes(("X", Datatype.FP32, (-1, 3))), "3 columns"),
        ({"a": np.ones((2, 2))}, takes(("a", Datatype.FP32, (-1, 3))), "shape"),
        ({"a": np.ones(2)}, takes(("a", Datatype.BYTES, (-1,))), "takes texts"),
        ({"a": np.array(["x"], object)}, takes(("a", Datatype.FP32, (-1,))), "takes numbers"),
        ({"a": np.array([1.5])}, takes(("a", Datatype.INT64, (-1,))), "cannot hold"),
        ({"a": np.array([np.nan])}, takes(("a", Datatype.INT64, (-1,))), "cannot hold"),
        ({"a": np.array([300])}, takes(("a", Datatype.UINT8, (-1,))), "cannot hold"),
        ({"a": np.array([1e39])}, takes(("a", Datatype.FP32, (-1,))), "cannot hold"),
        (
            {"a": np.ones((2, 2)), "b": np.ones(2)},
            takes(("X", Datatype.FP32, (-1, 2))),
            "matrix",
        ),
    ],
)
def test_columns_that_do_not_fit_are_rejected(
    columns: dict[str, Tensor], signature: Signature, names: str
) -> None:
    with pytest.raises(Rejected, match=names) as refusal:
        match_inputs(columns, signature)
    assert refusal.value.check == "reference"


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": np.ones(2), "b": np.ones(3)},
        {"a": np.ones(0)},
        {"a": np.array(1.0)},
        {"a": np.array(["x", 1], object)},
        {"a": np.array([b"\xff"])},
        {"a": np.array([1j])},
        {"a": np.array([{}], object)},
    ],
)
def test_what_is_not_a_table_is_rejected(columns: dict[str, Tensor]) -> None:
    with pytest.raises(Rejected):
        columns_of(columns)
