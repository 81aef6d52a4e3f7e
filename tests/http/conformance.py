"""Answers under `/v2`, held to the protocol's description in `docs/open-inference.yaml`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

HEADER_LENGTH = "inference-header-content-length"
_FILE = Path(__file__).parents[2] / "docs" / "open-inference.yaml"
_ERROR = "#/components/responses/Error"
_URI = "urn:open-inference"
_LOOKED_AT = 1000  # elements of a tensor, which are all of one kind

DOCUMENT: dict[str, Any] = yaml.safe_load(_FILE.read_text())
_SCHEMAS = Registry().with_resource(_URI, DRAFT202012.create_resource(DOCUMENT))


def check_conformance(answer: httpx.Response) -> None:
    """Fail unless an answer is what the description says; a hook of clients."""
    answer.read()
    path = answer.request.url.raw_path.partition(b"?")[0].decode()
    if path == "/v2" or path.startswith("/v2/"):
        check_answer(
            answer.request.method, path, answer.status_code, answer.headers, answer.content
        )


def check_answer(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    operation = find_operation(method, path)
    if method == "HEAD" or (method == "OPTIONS" and status == 204):
        assert body == b""
        return
    described = _resolve(_response_of(operation, status))
    if "content" not in described:
        assert body == b"", (method, path, body)
        return
    kind = headers["content-type"]
    assert kind in described["content"], (method, path, status, kind)
    if "schema" not in described["content"][kind]:
        return
    length = int(headers.get(HEADER_LENGTH, len(body)))
    message = msgspec.json.decode(body[:length])
    _clip(message)
    check_message(message, described["content"][kind]["schema"]["$ref"])
    _check_bytes(message, len(body) - length, is_binary=HEADER_LENGTH in headers)


def check_message(message: Any, reference: str) -> None:
    """Fail, with the first reason, unless a message is as a schema of the description says."""
    validator = Draft202012Validator({"$ref": _URI + reference}, registry=_SCHEMAS)
    for error in validator.iter_errors(message):
        raise AssertionError(f"{error.json_path}: {error.message[:500]}")


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """Return what the description says of a call; None if it has no such path or method."""
    for pattern, operations in _PATHS:
        if pattern.fullmatch(path):
            found: dict[str, Any] | None = operations.get(method.lower())
            return found
    return None


def _response_of(operation: dict[str, Any] | None, status: int) -> dict[str, Any]:
    if operation is None:
        return {"$ref": _ERROR}
    responses: dict[str, dict[str, Any]] = operation["responses"]
    return responses.get(str(status), responses["default"])


def _resolve(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        value = _SCHEMAS.resolver(_URI).lookup(value["$ref"]).contents
    return value


def _clip(message: Any) -> None:
    """Keep so much of each tensor as is looked at."""
    for output in (message.get("outputs") or ()) if isinstance(message, dict) else ():
        if isinstance(output.get("data"), list):
            del output["data"][_LOOKED_AT:]


def _check_bytes(message: Any, size: int, *, is_binary: bool) -> None:
    """Fail unless exactly those outputs that say so have their bytes behind the message."""
    if not is_binary:
        assert size == 0
        return
    sizes = [
        output["parameters"]["binary_data_size"]
        for output in message["outputs"]
        if "data" not in output
    ]
    assert sizes, "no output is binary"
    assert sum(sizes) == size


def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return the paths as patterns, those of fixed words before those with names in them."""
    paths = sorted(DOCUMENT["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?"), operations)
            for path, operations in paths]  # fmt: skip


_PATHS = _patterns()
