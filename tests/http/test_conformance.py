"""The protocol's description is sound, is about this gateway, and would catch what breaks it."""

from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.http.conformance import (
    DOCUMENT,
    check_answer,
    check_conformance,
    check_message,
    find_operation,
)
from tests.http.test_access import TABLE
from tests.http.test_inference import SAMPLES, flat
from tests.http.world import tensor

INFER = "/v2/models/linear/infer"
JSON = {"content-type": "application/json"}
ANSWER = {
    "model_name": "linear",
    "model_version": "1",
    "outputs": [tensor("y", "FP32", [1, 1], [6.0])],
}


def body(message: Any) -> bytes:
    import json

    return json.dumps(message).encode()


def described() -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations.keys() - {"parameters"}
    }


def test_the_description_is_sound_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_gateways_own_description_is_sound_openapi(client: httpx.Client) -> None:
    OpenAPIV31SpecValidator(client.get("/openapi.json").json()).validate()


def test_the_description_has_every_route_of_the_protocol_and_no_other() -> None:
    assert described() == {route for route in TABLE if route[1].startswith("/v2")}


def test_the_description_names_every_datatype() -> None:
    assert set(DOCUMENT["components"]["schemas"]["Datatype"]["enum"]) == {*SAMPLES, "BF16"}


def test_clients_of_these_tests_hold_every_answer_to_the_description(client: httpx.Client) -> None:
    assert check_conformance in client.event_hooks["response"]


def test_a_fixed_path_is_not_taken_for_a_name() -> None:
    stats = DOCUMENT["paths"]["/v2/models/stats"]["get"]

    assert find_operation("GET", "/v2/models/stats") is stats
    assert find_operation("GET", "/v2/models/other") is not stats
    assert find_operation("GET", "/v2/models/a/b/c") is None


def test_what_is_sent_in_these_tests_is_a_request_of_the_protocol() -> None:
    request = {"id": "1", "inputs": [flat([1, 2, None])], "outputs": [{"name": "y"}], "other": {}}

    check_message(request, "#/components/schemas/InferRequest")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"model_name": "linear", "outputs": []},
        {**ANSWER, "id": None},
        {**ANSWER, "parameters": {"a": None}},
        {**ANSWER, "parameters": {"a": []}},
        {**ANSWER, "model_version": 1},
        {**ANSWER, "other": 1},
        {**ANSWER, "outputs": None},
        {**ANSWER, "outputs": [{"name": "y", "shape": [1], "datatype": "FP32"}]},
        {**ANSWER, "outputs": [tensor("y", "FP32", [-1], [1])]},
        {**ANSWER, "outputs": [tensor("y", "FP128", [1], [1])]},
        {**ANSWER, "outputs": [tensor("y", "FP32", [1], ["1"])]},
        {**ANSWER, "outputs": [tensor("y", "FP32", [1, 1], [[1]])]},
        {**ANSWER, "outputs": [tensor("y", "INT8", [1], [0.5])]},
        {**ANSWER, "outputs": [tensor("y", "INT8", [1], [None])]},
        {**ANSWER, "outputs": [tensor("y", "BOOL", [1], [1])]},
        {**ANSWER, "outputs": [tensor("y", "BYTES", [1], [1])]},
    ],
)
def test_an_answer_that_breaks_the_protocol_is_caught(message: Any) -> None:
    check_answer("POST", INFER, 200, JSON, body(ANSWER))
    with pytest.raises(AssertionError):
        check_answer("POST", INFER, 200, JSON, body(message))


@pytest.mark.parametrize(
    ("method", "path", "status", "headers", "content"),
    [
        ("POST", INFER, 201, JSON, body(ANSWER)),
        ("POST", INFER, 200, {"content-type": "text/json"}, body(ANSWER)),
        ("POST", INFER, 400, JSON, b'{"detail":"no error member"}'),
        ("POST", INFER, 400, {"content-type": "application/problem+json"}, b'{"error":"x"}'),
        ("POST", INFER, 400, JSON, b'{"error":{"message":"x"}}'),
        ("GET", INFER, 200, JSON, body(ANSWER)),
        ("GET", "/v2/nowhere", 200, JSON, b"{}"),
        ("GET", "/v2/health/live", 200, JSON, b"{}"),
        ("POST", "/v2/repository/models/linear/load", 200, JSON, b"null"),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_caught(
    method: str, path: str, status: int, headers: dict[str, str], content: bytes
) -> None:
    with pytest.raises(AssertionError):
        check_answer(method, path, status, headers, content)


def test_bytes_behind_an_answer_are_counted() -> None:
    output = {"name": "y", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}
    head = body({**ANSWER, "outputs": [output]})
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
    }

    check_answer("POST", INFER, 200, headers, head + bytes(4))
    for wrong in (b"", bytes(3), bytes(5)):
        with pytest.raises(AssertionError):
            check_answer("POST", INFER, 200, headers, head + wrong)
