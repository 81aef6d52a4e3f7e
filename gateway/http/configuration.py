"""The protocol's extension `model_configuration`: what a version takes, answers and was made of."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import Struct

from gateway.http.access import key_of, open_to
from gateway.http.health import ModelName, VersionText
from gateway.loader import Loader
from gateway.security import Role
from registry.datatypes import Datatype
from registry.distribution import Feature, Reference
from registry.manifest import Contract, TensorSpec
from registry.portrait import kind_of
from registry.registry import Registry

_READERS = open_to(Role.INVOKER, Role.VIEWER)
# Clients read the number as "rows can be sent together"; what bounds a request is its body.
_MOST_ROWS = 1 << 14


class TensorConfiguration(Struct, kw_only=True):
    """One input or output; `dims` leave out the rows where `max_batch_size` is not 0."""

    name: str
    data_type: str
    dims: list[int]


class ReferenceFeature(Struct, kw_only=True):
    """One input or output, or a column of it, and the kind of its distribution."""

    input: str
    column: int | None
    kind: str
    count: int
    missing: int


class ReferenceSummary(Struct, kw_only=True):
    """On how many values of each input the reference stands, and of each output."""

    rows: int
    features: list[ReferenceFeature]
    output_rows: int
    outputs: list[ReferenceFeature]


class ModelConfiguration(Struct, kw_only=True):
    """A version as clients of the protocol configure themselves for it, and what governs it.

    `contract` is None for the holder of a key that hides what would be accepted.
    """

    name: str
    version: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfiguration]
    output: list[TensorConfiguration]
    contract: Contract | None
    reference: ReferenceSummary | None
    digests: dict[str, str]


@get("/v2/models/{model:str}/config", opt=_READERS, sync_to_thread=True)
def configure_model(
    request: Request[Any, Any, Any],
    loader: NamedDependency[Loader],
    registry: NamedDependency[Registry],
    model: ModelName,
) -> ModelConfiguration:
    """Show the configuration of the champion."""
    return _configuration(request, loader, registry, model, None)


@get("/v2/models/{model:str}/versions/{version:str}/config", opt=_READERS, sync_to_thread=True)
def configure_version(
    request: Request[Any, Any, Any],
    loader: NamedDependency[Loader],
    registry: NamedDependency[Registry],
    model: ModelName,
    version: VersionText,
) -> ModelConfiguration:
    """Show the configuration of one version."""
    return _configuration(request, loader, registry, model, version)


def _configuration(
    request: Request[Any, Any, Any],
    loader: Loader,
    registry: Registry,
    model: str,
    version: str | None,
) -> ModelConfiguration:
    served, _ = loader.roster.choose(model, version)
    manifest = registry.manifest(registry.version(served.model, served.number))
    signature, key = served.signature, key_of(request)
    tensors = (*signature.inputs, *signature.outputs)
    has_rows = all(spec.shape[:1] == (-1,) for spec in tensors)
    is_batched = has_rows and served.runner.is_batchable
    return ModelConfiguration(
        name=served.model,
        version=str(served.number),
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=_MOST_ROWS if is_batched else 0,
        input=[_tensor(spec, is_batched) for spec in signature.inputs],
        output=[_tensor(spec, is_batched) for spec in signature.outputs],
        contract=None if key.hides_expected else manifest.contract,
        reference=None if manifest.reference is None else _summary(manifest.reference),
        digests={"artifact": served.artifact, "manifest": served.manifest},
    )


def _tensor(spec: TensorSpec, is_batched: bool) -> TensorConfiguration:
    name = "STRING" if spec.datatype is Datatype.BYTES else spec.datatype.value
    dims = list(spec.shape[1:] if is_batched else spec.shape)
    return TensorConfiguration(name=spec.name, data_type=f"TYPE_{name}", dims=dims)


def _summary(reference: Reference) -> ReferenceSummary:
    return ReferenceSummary(
        rows=reference.rows,
        features=[_feature(one) for one in reference.features],
        output_rows=reference.output_rows,
        outputs=[_feature(one) for one in reference.outputs],
    )


def _feature(feature: Feature) -> ReferenceFeature:
    return ReferenceFeature(
        input=feature.input,
        column=feature.column,
        kind=kind_of(feature.distribution),
        count=feature.count,
        missing=feature.missing,
    )
