"""What the protocol's messages say, whichever form they travel in."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from registry.manifest import Signature, TensorSpec
from registry.tensors import Tensor

Parameter = str | int | float | bool

ONNX_PLATFORM = "onnx_onnxv1"
ROUTING_KEY = "routing_key"


class RequestedOutput(Struct, frozen=True):
    """An output to answer with, and its form: binary or JSON, whole or its best `classes`.

    `classes` is 0 where the output is wanted whole; `labels` are the names of the classes, where
    the signature has them.
    """

    name: str
    is_binary: bool = False
    classes: int = 0
    labels: tuple[str, ...] = ()


class InferRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A request that met the signature.

    `tensors` holds every input in the signature's order, with the signature's datatype and the
    shape given; elements of BYTES are `str`. `outputs` holds what to answer with, in the order
    asked for; every output where none was named. `rows` is the first dimension of the first input,
    1 where it has none. `priority` is 1 for what goes first, higher for what can wait, and 0 for
    what comes between as the server likes. `timeout_us` is how long an answer is of use. `subject`
    names the person that the request is about.
    """

    id: str | None
    parameters: Mapping[str, Parameter]
    tensors: dict[str, Tensor]
    outputs: tuple[RequestedOutput, ...]
    rows: int
    priority: int = 0
    timeout_us: int | None = None
    subject: str | None = None

    @property
    def routing_key(self) -> str | None:
        """What stays with one lane: the parameter, a text where it is given, else the id."""
        key = self.parameters.get(ROUTING_KEY)
        return key if isinstance(key, str) else self.id


class Encoded(Struct, frozen=True):
    """An answer's body; `header_length` is that of its JSON, None where it is JSON throughout."""

    body: bytes
    header_length: int | None = None


class ServerMetadata(Struct, frozen=True, kw_only=True):
    """Name and version of the server, and the protocol's extensions it serves."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ModelMetadata(Struct, frozen=True, kw_only=True):
    """A model's versions, and the names, datatypes and shapes of its tensors; -1 is variable."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def server_metadata(name: str, version: str, extensions: Sequence[str] = ()) -> ServerMetadata:
    """Describe this server as `GET /v2` answers it."""
    return ServerMetadata(name=name, version=version, extensions=tuple(extensions))


def model_metadata(
    name: str, versions: Sequence[int], signature: Signature, platform: str = ONNX_PLATFORM
) -> ModelMetadata:
    """Describe a model as `GET /v2/models/{model}` answers it, versions as texts.

    The protocol has no word for an input of any rank; it stands there as one variable dimension.
    """
    return ModelMetadata(
        name=name,
        versions=tuple(str(version) for version in versions),
        platform=platform,
        inputs=tuple(replace(spec, is_unranked=False) for spec in signature.inputs),
        outputs=tuple(replace(spec, is_unranked=False) for spec in signature.outputs),
    )
