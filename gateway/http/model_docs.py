"""The OpenAPI documents of the protocol: of all its routes, and of one version's with its tensors.

Other servers of the protocol have these routes too, though it does not name them.
"""

from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency

import gateway
from gateway.http.access import OPEN, open_to
from gateway.http.docs import describe_problem, describe_routes
from gateway.http.health import ModelName, VersionText
from gateway.http.pages import HEADERS, render_page
from gateway.http.problems import content_type
from gateway.loader import Loader
from gateway.roster import ServedVersion
from gateway.security import Role
from registry.datatypes import FLOATS, Datatype
from registry.manifest import TensorSpec
from registry.tensors import NUMPY_TYPES

_READERS = open_to(Role.INVOKER, Role.VIEWER)
_DATA_PLANE = "/v2/docs/dataplane.json"

Document = dict[str, Any]


@get(_DATA_PLANE, opt=OPEN, sync_to_thread=False)
def describe_protocol(request: Request[Any, Any, Any]) -> Document:
    """Describe the routes of the protocol as OpenAPI."""
    return _describe_protocol(request)


@get("/v2/docs", opt=OPEN, media_type=MediaType.HTML, sync_to_thread=False)
def show_protocol(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Show the routes of the protocol as a page."""
    return _page(render_page(_describe_protocol(request), _DATA_PLANE))


@get("/v2/models/{model:str}/docs/dataplane.json", opt=_READERS, sync_to_thread=False)
def describe_champion(loader: NamedDependency[Loader], model: ModelName) -> Document:
    """Describe inference by the champion as OpenAPI, with its tensors."""
    return _describe(loader, model, None)


@get("/v2/models/{model:str}/docs", opt=_READERS, media_type=MediaType.HTML, sync_to_thread=False)
def show_champion(loader: NamedDependency[Loader], model: ModelName) -> Response[bytes]:
    """Show inference by the champion as a page, with its tensors."""
    source = f"/v2/models/{model}/docs/dataplane.json"
    return _page(render_page(_describe(loader, model, None), source))


@get(
    "/v2/models/{model:str}/versions/{version:str}/docs/dataplane.json",
    opt=_READERS,
    sync_to_thread=False,
)
def describe_one(
    loader: NamedDependency[Loader], model: ModelName, version: VersionText
) -> Document:
    """Describe inference by one version as OpenAPI, with its tensors."""
    return _describe(loader, model, version)


@get(
    "/v2/models/{model:str}/versions/{version:str}/docs",
    opt=_READERS,
    media_type=MediaType.HTML,
    sync_to_thread=False,
)
def show_one(
    loader: NamedDependency[Loader], model: ModelName, version: VersionText
) -> Response[bytes]:
    """Show inference by one version as a page, with its tensors."""
    source = f"/v2/models/{model}/versions/{version}/docs/dataplane.json"
    return _page(render_page(_describe(loader, model, version), source))


def _describe_protocol(request: Request[Any, Any, Any]) -> Document:
    document = describe_routes(request)
    paths = {
        path: operations
        for path, operations in document["paths"].items()
        if path == "/v2" or path.startswith("/v2/")
    }
    return {**document, "paths": paths}


def _page(content: bytes) -> Response[bytes]:
    return Response(content, media_type=MediaType.HTML, headers=HEADERS)


def _describe(loader: Loader, model: str, version: str | None) -> Document:
    served, _ = loader.roster.choose(model, version)
    path = f"/v2/models/{model}" + ("" if version is None else f"/versions/{version}")
    problem, schemas = describe_problem()
    infer = {
        "summary": "Infer",
        "description": "Answer inputs with outputs; a 200 means that its record is on disk.",
        "security": [{"key": []}],
        "requestBody": {"required": True, "content": _json(_request(served))},
        "responses": {
            "200": {"description": "The outputs.", "content": _json(_answer(served))},
            "default": {
                "description": "The request is not answered; the body says why.",
                "content": {content_type(path): {"schema": problem}},
            },
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{served.model} version {served.number}",
            "description": f"Artifact {served.artifact}, gateway {gateway.VERSION}."
            " Tensors may also come in binary form, as the protocol says.",
            "version": str(served.number),
        },
        "paths": {f"{path}/infer": {"post": infer}},
        "components": {
            "schemas": {**schemas, **_data_schemas(served)},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _request(served: ServedVersion) -> Document:
    names = [spec.name for spec in served.signature.outputs]
    wanted = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": names}, "parameters": {"type": "object"}},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": _tensors(served.signature.inputs, len(served.signature.inputs)),
            "outputs": {"type": "array", "items": wanted, "maxItems": len(names)},
        },
    }


def _answer(served: ServedVersion) -> Document:
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": served.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": _tensors(served.signature.outputs, 1),
        },
    }


def _tensors(specs: tuple[TensorSpec, ...], least: int) -> Document:
    return {
        "type": "array",
        "items": {"oneOf": [_tensor(spec) for spec in specs]},
        "minItems": least,
        "maxItems": len(specs),
    }


def _tensor(spec: TensorSpec) -> Document:
    sizes = [
        {"type": "integer", "minimum": 0} if size < 0 else {"const": size} for size in spec.shape
    ]
    shape: Document = {"type": "array", "minItems": len(sizes), "maxItems": len(sizes)}
    if sizes:
        shape["prefixItems"] = sizes
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype.value},
            "shape": shape,
            "data": _data_ref(spec.datatype),
            "parameters": {"type": "object"},
        },
    }


def _data_ref(datatype: Datatype) -> Document:
    return {"$ref": f"#/components/schemas/Data{datatype.value}"}


def _data_schemas(served: ServedVersion) -> Document:
    """Describe the data of each datatype that occurs: elements, flat or in nested arrays."""
    signature = served.signature
    datatypes = {spec.datatype for spec in (*signature.inputs, *signature.outputs)}
    return {
        f"Data{datatype.value}": {
            "type": "array",
            "items": {"anyOf": [_element(datatype), _data_ref(datatype)]},
        }
        for datatype in sorted(datatypes)
    }


def _element(datatype: Datatype) -> Document:
    if datatype is Datatype.BOOL:
        return {"type": "boolean"}
    if datatype is Datatype.BYTES:
        return {"type": ["string", "null"]}
    if datatype in FLOATS:
        return {"type": ["number", "null"]}
    numpy_type = NUMPY_TYPES[datatype]
    bits = numpy_type.itemsize * 8
    if numpy_type.kind == "u":
        return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
    return {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}
