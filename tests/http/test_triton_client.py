"""The protocol's most used client against a real gateway, in its JSON mode."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    # What the client's own dependencies still use is not ours to mend.
    warnings.simplefilter("ignore")
    import tritonclient.http as triton
    from tritonclient.utils import InferenceServerException

from tests.http.world import World


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Any]:
    client = triton.InferenceServerClient(world.gateway.url.removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def headers(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.tokens['invoker']}"}


def make_input(name: str, datatype: str, values: Any) -> Any:
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=False)
    return given


def test_it_finds_the_server_and_the_model(server: Any, headers: dict[str, str]) -> None:
    assert server.is_server_live()
    assert server.is_server_ready()
    assert server.is_model_ready("linear", headers=headers)
    assert server.is_model_ready("linear", "1", headers=headers)
    assert not server.is_model_ready("none", headers=headers)
    assert server.get_server_metadata()["name"] == "governed-gateway"
    metadata = server.get_model_metadata("linear", headers=headers)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]


def test_it_reads_an_answer(server: Any, headers: dict[str, str]) -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    wanted = [triton.InferRequestedOutput("y", binary_data=False)]

    result = server.infer(
        "linear", [make_input("x", "FP32", values)], outputs=wanted, request_id="7", headers=headers
    )

    np.testing.assert_array_equal(result.as_numpy("y"), [[6], [15]])
    assert result.get_response()["id"] == "7"


def test_it_reads_texts(server: Any, headers: dict[str, str]) -> None:
    inputs = [
        make_input("distance", "FP32", np.array([[1]], np.float32)),
        make_input("carrier", "BYTES", np.array([["ÄA"]], object)),
    ]
    wanted = [triton.InferRequestedOutput("c", binary_data=False)]

    result = server.infer("two", inputs, outputs=wanted, headers=headers)

    assert result.as_numpy("c").tolist() == [["ÄA"]]


def test_it_shows_the_sentence_of_a_refusal(server: Any, headers: dict[str, str]) -> None:
    values = np.array([[99, 0, 0]], np.float32)
    wanted = [triton.InferRequestedOutput("y", binary_data=False)]

    with pytest.raises(InferenceServerException, match=r"range of the contract.*'x', row 0"):
        server.infer("guarded", [make_input("x", "FP32", values)], outputs=wanted, headers=headers)
    with pytest.raises(InferenceServerException, match="Send a valid key"):
        server.infer("guarded", [make_input("x", "FP32", values)], outputs=wanted)


def test_its_binary_mode_is_refused_in_words(server: Any, headers: dict[str, str]) -> None:
    given = triton.InferInput("x", [1, 3], "FP32")
    given.set_data_from_numpy(np.zeros((1, 3), np.float32))

    with pytest.raises(InferenceServerException, match="plain JSON"):
        server.infer("linear", [given], headers=headers)
