"""The OpenAPI documents of single models, held against what is answered; the pages for people."""

import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.builders import infer_body
from tests.http.world import World, check_problem, tensor

TWO = {
    "inputs": [
        tensor("carrier", "BYTES", [1, 1], ["AA"]),
        tensor("distance", "FP32", [1, 1], [[1.5]]),
    ]
}
PAGES = ("/docs", "/v2/docs", "/v2/models/linear/docs", "/v2/models/linear/versions/1/docs")


def describe(client: httpx.Client, model: str, version: str = "") -> dict[str, Any]:
    answer = client.get(f"/v2/models/{model}{version}/docs/dataplane.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def validate(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def schemas(document: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the one path of a document, and the schemas of its request and its answer."""
    [(path, operations)] = document["paths"].items()
    post = operations["post"]
    request = post["requestBody"]["content"]["application/json"]["schema"]
    return path, request, post["responses"]["200"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize(
    ("model", "version", "body"),
    [
        ("linear", "", infer_body([[1, 2, 3], [4, 5, None]])),
        ("linear", "/versions/1", infer_body([[1, 2, 3]])),
        ("two", "", TWO),
        ("two", "", {**TWO, "id": "7", "outputs": [{"name": "c"}]}),
        ("scalar", "", {"inputs": [tensor("x", "FP32", [], [1])]}),
        ("identity-UINT8", "", infer_body([[0, 255]], datatype="UINT8")),
        ("identity-BOOL", "", infer_body([[True]], datatype="BOOL")),
        ("identity-FP16", "", infer_body([[1.5, None]], datatype="FP16")),
        ("identity-BF16", "", infer_body([[1.5]], datatype="BF16")),
        ("identity-INT64", "", infer_body([[-(2**63), 2**63 - 1]], datatype="INT64")),
        ("identity-BYTES", "", infer_body([["ä", ""]], datatype="BYTES")),
    ],
)
def test_what_is_described_is_answered_as_described(
    client: httpx.Client, model: str, version: str, body: dict[str, Any]
) -> None:
    document = describe(client, model, version)
    path, request, answer = schemas(document)
    validate(document, request, body)

    answered = client.post(path, json=body)

    assert answered.status_code == 200, answered.text
    validate(document, answer, answered.json())


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("linear", {"inputs": []}),
        ("linear", infer_body([[1, 2, 3]], name="y")),
        ("linear", infer_body([[1, 2, 3]], datatype="FP64")),
        ("linear", infer_body([["1", 2, 3]])),
        ("linear", {"inputs": [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])]}),
        ("linear", {"inputs": [tensor("x", "FP32", [3], [1, 2, 3])]}),
        ("linear", {**infer_body([[1, 2, 3]]), "outputs": [{"name": "none"}]}),
        ("two", {"inputs": TWO["inputs"][:1]}),
        ("identity-UINT8", infer_body([[256]], datatype="UINT8")),
        ("identity-BOOL", infer_body([[1]], datatype="BOOL")),
    ],
)
def test_what_the_description_excludes_is_refused(
    client: httpx.Client, model: str, body: dict[str, Any]
) -> None:
    document = describe(client, model)
    path, request, _ = schemas(document)
    with pytest.raises(ValidationError):
        validate(document, request, body)
    check_problem(client.post(path, json=body), 400)


def test_the_errors_of_a_model_are_described(client: httpx.Client) -> None:
    document = describe(client, "linear")
    problem = document["paths"]["/v2/models/linear/infer"]["post"]["responses"]["default"]
    schema = problem["content"]["application/json"]["schema"]
    validate(document, schema, client.post("/v2/models/linear/infer", content=b"{").json())


def test_the_protocol_is_described_without_the_rest(client: httpx.Client) -> None:
    paths = client.get("/v2/docs/dataplane.json").json()["paths"]
    everything = client.get("/openapi.json").json()["paths"]

    assert paths.keys() == {path for path in everything if path.startswith("/v2")}
    assert "/v2/models/{model}/infer" in paths


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_nothing_but_itself(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<link|<img|src=|url\(|https?://", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_every_operation_and_leads_to_the_document(
    client: httpx.Client, path: str
) -> None:
    page = client.get(path).text
    [source] = re.findall(r'href="([^"]+)"', page)
    for route, operations in client.get(source).json()["paths"].items():
        for method in operations.keys() - {"parameters"}:
            assert f"<b>{method.upper()}</b> {route}</h2>" in page


def test_what_is_not_served_is_not_described(world: World, client: httpx.Client) -> None:
    for path in ("/v2/models/none/docs", "/v2/models/linear/versions/9/docs/dataplane.json"):
        check_problem(client.get(path), 404, "not-found")
