"""The protocol's most used client against a real gateway: its binary mode, and JSON where asked."""

import warnings
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

with warnings.catch_warnings():
    # What the client's own dependencies still use is not ours to mend.
    warnings.simplefilter("ignore")
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

from tests.http.world import World

ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
VALUES = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[1.5, 65504]], np.float16),
    "FP32": np.array([[np.nan, -np.inf]], np.float32),
    "FP64": np.array([[1e-300, np.inf]], np.float64),
    "BF16": np.array([[1.5, -3e38]], ml_dtypes.bfloat16),
    "BYTES": np.array([["", "ümläut"]], object),
}


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Any]:
    client = triton.InferenceServerClient(world.gateway.url.removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture
def headers(world: World) -> dict[str, str]:
    """Headers of one test's own: the client adds to those it is given."""
    return {"Authorization": f"Bearer {world.tokens['invoker']}"}


def make_input(name: str, datatype: str, values: Any, *, is_binary: bool = True) -> Any:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=is_binary)
    return given


def as_bytes(values: Any) -> Any:
    """Write texts as the client gives them back."""
    return np.array([text.encode() for text in values.ravel()], object).reshape(values.shape)


def test_it_finds_the_server_and_the_model(server: Any, headers: dict[str, str]) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.is_model_ready("linear", headers=headers)
    assert server.is_model_ready("linear", "1", headers=headers)
    assert not server.is_model_ready("none", headers=headers)
    assert server.get_server_metadata()["name"] == "governed-gateway"
    assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
    metadata = server.get_model_metadata("linear", headers=headers)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]


@pytest.mark.parametrize("datatype", VALUES)
def test_every_datatype_comes_back_bit_for_bit(
    server: Any, headers: dict[str, str], datatype: str
) -> None:
    values = VALUES[datatype]

    result = server.infer(
        f"identity-{datatype}", [make_input("x", datatype, values)], headers=headers
    )

    answered = result.as_numpy("y")
    wanted = as_bytes(values) if datatype == "BYTES" else values
    assert answered.dtype == wanted.dtype
    assert answered.tolist() == wanted.tolist() or answered.tobytes() == wanted.tobytes()
    assert result.get_response()["outputs"][0]["parameters"]["binary_data_size"] > 0


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("wants_binary", [True, False])
def test_binary_and_json_meet_in_one_request(
    server: Any, headers: dict[str, str], is_binary: bool, wants_binary: bool
) -> None:
    inputs = [
        make_input("distance", "FP32", np.array([[1.5]], np.float32), is_binary=is_binary),
        make_input("carrier", "BYTES", np.array([["ÄA"]], object), is_binary=not is_binary),
    ]
    outputs = [
        triton.InferRequestedOutput("c", binary_data=wants_binary),
        triton.InferRequestedOutput("d", binary_data=not wants_binary),
    ]

    result = server.infer("two", inputs, outputs=outputs, request_id="7", headers=headers)

    assert [output["name"] for output in result.get_response()["outputs"]] == ["c", "d"]
    assert result.as_numpy("c").tolist() == [["ÄA".encode() if wants_binary else "ÄA"]]
    assert result.as_numpy("d").tolist() == [[1.5]]
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("request_packing", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answer_packing", [None, "gzip", "deflate"])
@pytest.mark.parametrize("is_binary", [True, False])
def test_bodies_are_packed_both_ways(
    server: Any,
    headers: dict[str, str],
    request_packing: str | None,
    answer_packing: str | None,
    is_binary: bool,
) -> None:
    values = np.arange(3000, dtype=np.float32).reshape(1000, 3)

    result = server.infer(
        "linear",
        [make_input("x", "FP32", values, is_binary=is_binary)],
        outputs=[triton.InferRequestedOutput("y", binary_data=is_binary)],
        headers=headers,
        request_compression_algorithm=request_packing,
        response_compression_algorithm=answer_packing,
    )

    np.testing.assert_array_equal(result.as_numpy("y")[:, 0], values.sum(axis=1))


def test_the_best_classes_come_as_texts(server: Any, headers: dict[str, str]) -> None:
    values = np.array([[1, 3, 2], [4, 6, 6]], np.float32)
    outputs = [triton.InferRequestedOutput("y", class_count=2)]

    result = server.infer(
        "identity-FP32", [make_input("x", "FP32", values)], outputs=outputs, headers=headers
    )

    assert result.as_numpy("y").tolist() == [[b"3.0:1", b"2.0:2"], [b"6.0:1", b"6.0:2"]]


def test_priority_and_timeout_and_own_parameters_are_taken(
    server: Any, headers: dict[str, str]
) -> None:
    result = server.infer(
        "linear",
        [make_input("x", "FP32", ROWS)],
        headers=headers,
        priority=1,
        timeout=60_000_000,
        parameters={"routing_key": "customer-17", "trial": True},
    )

    np.testing.assert_array_equal(result.as_numpy("y"), [[6], [15]])


def test_a_sequence_is_refused_in_words(server: Any, headers: dict[str, str]) -> None:
    with pytest.raises(InferenceServerException, match="not served here: sequences"):
        server.infer("linear", [make_input("x", "FP32", ROWS)], sequence_id=5, headers=headers)


def test_a_version_answers_at_its_own_address(server: Any, headers: dict[str, str]) -> None:
    result = server.infer(
        "linear", [make_input("x", "FP32", ROWS)], model_version="1", headers=headers
    )

    assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize("is_binary", [True, False])
def test_it_shows_the_sentence_of_a_refusal(
    server: Any, headers: dict[str, str], is_binary: bool
) -> None:
    given = make_input("x", "FP32", np.array([[99, 0, 0]], np.float32), is_binary=is_binary)

    with pytest.raises(InferenceServerException, match=r"range of the contract.*'x', row 0"):
        server.infer("guarded", [given], headers=headers)
    with pytest.raises(InferenceServerException, match="Send a valid key"):
        server.infer("guarded", [given])
