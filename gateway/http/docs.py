"""The description of all routes: as OpenAPI, and as a page for people."""

from typing import Any

import msgspec
from litestar import Controller, MediaType, Request, Response, get
from litestar.constants import OPENAPI_JSON_HANDLER_NAME

from gateway.http.access import OPEN
from gateway.http.pages import HEADERS, render_page
from gateway.http.problems import Problem, content_type

_PROBLEM_REF = "#/components/schemas/{name}"
_VERSION_PATH = "/v2/models/{model}/versions/{version}/infer"
_PARAMETERS = {
    name: {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in ("model", "version")
}


class Documentation(Controller):
    """Serves the OpenAPI document, inference included, which is answered outside the framework."""

    include_in_schema = False
    opt = OPEN

    @get(
        "/openapi.json",
        name=OPENAPI_JSON_HANDLER_NAME,  # where the page finds the document
        media_type=MediaType.JSON,
        sync_to_thread=False,
    )
    def describe(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        return describe_routes(request)

    @get("/docs", media_type=MediaType.HTML, sync_to_thread=False)
    def show(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        page = render_page(describe_routes(request), "/openapi.json")
        return Response(page, media_type=MediaType.HTML, headers=HEADERS)


def describe_routes(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of all routes."""
    document = request.app.openapi_schema.to_schema()
    problem, schemas = describe_problem()
    paths = {
        **document["paths"],
        "/v2/models/{model}/infer": _infer("model"),
        _VERSION_PATH: _infer("model", "version"),
    }
    document["paths"] = {
        path: {key: _describe_errors(path, value, problem) for key, value in operations.items()}
        for path, operations in paths.items()
    }
    document["components"]["schemas"].update(schemas)
    return document


def describe_problem() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of an error's body, and the schemas that it refers to."""
    (problem,), schemas = msgspec.json.schema_components([Problem], ref_template=_PROBLEM_REF)
    return problem, schemas


def _describe_errors(path: str, operation: Any, problem: dict[str, Any]) -> Any:
    """Give an operation the errors of this gateway in place of the framework's."""
    if not isinstance(operation, dict):  # parameters that all operations share
        return operation
    responses = {
        status: response for status, response in operation["responses"].items() if int(status) < 400
    }
    responses["default"] = {
        "description": "The request is not answered; the body says why.",
        "content": {content_type(path): {"schema": problem}},
    }
    return {**operation, "responses": responses}


def _infer(*names: str) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"type": "string"},
            "data": {"type": "array", "items": {}},
        },
    }
    body = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
    }
    return {
        "parameters": [_PARAMETERS[name] for name in names],
        "post": {
            "summary": "Infer",
            "description": "Answer inputs with outputs; a 200 means that its record is on disk.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": {"description": "The outputs, and the id of the record."}},
        },
    }
