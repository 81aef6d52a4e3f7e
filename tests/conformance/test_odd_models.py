"""Models that no operator test has are served: strange names, no shapes, no inputs, maps.

Each is asked in the binary form and, where JSON carries the values, in JSON.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from registry.manifest import Draft
from tests.builders import add_key, open_registry, publish, serving
from tests.conformance.forms import (
    HEADER_LENGTH,
    Array,
    fits_json,
    read_answer,
    write_binary,
    write_json,
)

FLOAT, TEXT = TensorProto.FLOAT, TensorProto.STRING
ODD_NAME = 'a b/ü:0\n"'
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
ROWS = np.array([[1.5, -2.0, 0.0]], np.float32)


def value(name: str, kind: int, shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], **more: Any) -> bytes:
    made = helper.make_graph(nodes, "odd", inputs, outputs, more.pop("initializer", []))
    more.setdefault("opset_imports", OPSETS)
    content: bytes = helper.make_model(made, ir_version=10, **more).SerializeToString()
    return content


def unary(operator: str, kind: int = FLOAT, shape: Any = ("n", 3), **attributes: Any) -> bytes:
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return graph([node], [value("x", kind, shape)], [value("y", kind, None)])


def function_model() -> bytes:
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], OPSETS[:1]
    )
    node = helper.make_node("Twice", ["x"], ["y"], domain="own")
    opsets = [*OPSETS, helper.make_opsetid("own", 1)]
    return graph([node], [value("x", FLOAT, ["n", 3])], [value("y", FLOAT, ["n", 3])],
                 functions=[twice], opset_imports=opsets)  # fmt: skip


def classifier() -> bytes:
    """Convert a classifier with the options that skl2onnx has by default: with ZipMap."""
    random = np.random.default_rng(5)
    rows = random.normal(size=(60, 3)).astype(np.float32)
    fitted = LogisticRegression().fit(rows, np.where(rows[:, 0] > 0, "late", "früh"))
    content: bytes = to_onnx(fitted, rows[:1]).SerializeToString()
    return content


ODD: dict[str, bytes] = {
    "odd-names": graph(
        [helper.make_node("Neg", [ODD_NAME], ["y" + ODD_NAME])],
        [value(ODD_NAME, FLOAT, ["n", 3])],
        [value("y" + ODD_NAME, FLOAT, ["n", 3])],
    ),
    "through": graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        [value("x", FLOAT, ["n", 3])],
        [value("y", FLOAT, ["n", 3]), value("x", FLOAT, ["n", 3])],
    ),
    "unused": graph(
        [helper.make_node("Neg", ["x"], ["y"])],
        [value("x", FLOAT, ["n", 3]), value("nobody", TensorProto.INT8, [2])],
        [value("y", FLOAT, ["n", 3])],
    ),
    "default": graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [value("x", FLOAT, ["n", 3]), value("one", FLOAT, [1])],
        [value("y", FLOAT, ["n", 3])],
        initializer=[numpy_helper.from_array(np.ones(1, np.float32), "one")],
    ),
    "constant": graph(
        [helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(ROWS))],
        [],
        [value("y", FLOAT, [1, 3])],
    ),
    "square": graph(
        [helper.make_node("MatMul", ["x", "z"], ["y"])],
        [value("x", FLOAT, ["n", "m"]), value("z", FLOAT, ["m", "k"])],
        [value("y", FLOAT, ["n", "k"])],
    ),
    "unranked": unary("Neg", shape=None),
    "texts": unary("Identity", TEXT, ["n"]),
    "contrib": unary("QuickGelu", domain="com.microsoft", alpha=0.0),
    "random": unary("RandomNormalLike"),
    "function": function_model(),
    "classifier": classifier(),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data_dir = tmp_path_factory.mktemp("odd")
    registry = open_registry(data_dir)
    for name, artifact in ODD.items():
        publish(registry, name, artifact, Draft())
    token = add_key(registry)
    registry.store.close()
    with serving(data_dir) as gateway, gateway.client(token) as client:
        yield client


def post(client: httpx.Client, model: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return client.post(f"/v2/models/{model}/infer", content=body, headers=headers)


def ask(client: httpx.Client, model: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Ask in every form, see that all answers are equal, and return it."""
    forms = [write_binary, write_json] if all(map(fits_json, inputs.values())) else [write_binary]
    answers = []
    for write in forms:
        answer = post(client, model, *write(inputs))
        assert answer.status_code == 200, answer.text
        answers.append(read_answer(answer.content, answer.headers.get(HEADER_LENGTH)))
    for other in answers[1:]:
        assert list(other) == list(answers[0])
        for name, found in other.items():
            np.testing.assert_array_equal(found, answers[0][name])
    return answers[0]


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        ("odd-names", {ODD_NAME: ROWS}, {"y" + ODD_NAME: -ROWS}),
        ("through", {"x": ROWS}, {"y": -ROWS, "x": ROWS}),
        ("unused", {"x": ROWS, "nobody": np.zeros(2, np.int8)}, {"y": -ROWS}),
        ("default", {"x": ROWS}, {"y": ROWS + 1}),
        ("constant", {}, {"y": ROWS}),
        ("square", {"x": ROWS, "z": ROWS.T}, {"y": ROWS @ ROWS.T}),
        ("unranked", {"x": ROWS}, {"y": -ROWS}),
        ("unranked", {"x": np.array(3, np.float32)}, {"y": np.array(-3, np.float32)}),
        ("unranked", {"x": np.zeros((2, 0, 5), np.float32)}, {"y": np.zeros((2, 0, 5))}),
        ("texts", {"x": np.array(["", "ü", "a\0b"], object)}, {"y": np.array(["", "ü", "a\0b"])}),
        ("texts", {"x": np.array([], object)}, {"y": np.array([])}),
        ("contrib", {"x": ROWS}, {"y": ROWS / 2}),
        ("function", {"x": ROWS}, {"y": ROWS * 2}),
    ],
)
def test_an_odd_model_answers(
    client: httpx.Client, model: str, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    answer = ask(client, model, inputs)
    assert list(answer) == list(expected)
    for name, wanted in expected.items():
        assert answer[name].shape == wanted.shape
        np.testing.assert_array_equal(answer[name], wanted)


def test_a_random_model_is_served_and_marked(client: httpx.Client) -> None:
    one, other = (post(client, "random", *write_binary({"x": ROWS})) for _ in range(2))
    assert (one.status_code, other.status_code) == (200, 200)
    assert one.content[-12:] != other.content[-12:]
    manifest = client.get("/admin/models/random/versions/1").json()["manifest"]
    assert manifest["certificate"]["is_deterministic"] is False


def test_a_classifier_with_maps_answers_tensors_and_names_its_classes(
    client: httpx.Client,
) -> None:
    answer = ask(client, "classifier", {"X": ROWS})
    assert list(answer) == ["output_label", "output_probability"]
    [label], [probabilities] = answer.values()
    assert probabilities.sum() == pytest.approx(1)
    best = ["früh", "late"][int(probabilities.argmax())]
    assert label == best

    outputs = [{"name": "output_probability", "parameters": {"classification": 1}}]
    body = {"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": ROWS.tolist()}]}
    named = client.post("/v2/models/classifier/infer", json={**body, "outputs": outputs}).json()
    [text] = named["outputs"][0]["data"]
    assert text.split(":")[1:] == [str(int(probabilities.argmax())), best]


def test_an_input_of_any_rank_is_told_as_the_protocol_can(client: httpx.Client) -> None:
    metadata = client.get("/v2/models/unranked").json()
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]


def test_dimensions_of_one_name_that_differ_are_refused(client: httpx.Client) -> None:
    answer = post(client, "square", *write_binary({"x": ROWS, "z": ROWS}))
    assert answer.status_code == 400
    assert answer.json()["code"] == "shape-not-accepted"


def test_bytes_that_are_no_text_are_refused(client: httpx.Client) -> None:
    body, headers = write_binary({"x": np.array(["ab"], object)})
    answer = post(client, "texts", body.replace(b"ab", b"\xff\xfe"), headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-bytes")
