"""The description of all routes: as OpenAPI, and as a page for people."""

from typing import Any

from litestar import Controller, MediaType, Request, get
from litestar.constants import OPENAPI_JSON_HANDLER_NAME
from litestar.openapi.plugins import ScalarRenderPlugin

from gateway.http.access import OPEN

_ERROR = {"description": "The request is refused; the body names each violation."}
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
    def show(self, request: Request[Any, Any, Any]) -> bytes:
        return ScalarRenderPlugin().render(request, describe_routes(request))


def describe_routes(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI document of all routes."""
    document = request.app.openapi_schema.to_schema()
    document["paths"] = {
        **document["paths"],
        "/v2/models/{model}/infer": _infer("model"),
        _VERSION_PATH: _infer("model", "version"),
    }
    return document


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
            "responses": {
                "200": {"description": "The outputs, and the id of the record."},
                "400": _ERROR,
                "401": _ERROR,
                "403": _ERROR,
                "404": _ERROR,
                "503": _ERROR,
            },
        },
    }
