"""What an ONNX file says of itself, read from its bytes before anything is made of it."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from registry.admission.wire import Field, read_fields
from registry.errors import Rejected

# The messages of ONNX that may hold a tensor or a node, and by field number the messages in them.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "value": {},
}
_NODE_INPUT, _OP_TYPE = 1, 4
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_VALUE_NAME, _VALUE_TYPE, _TENSOR_TYPE, _SHAPE = 1, 2, 1, 2

# Their answers differ from one run to the next. A seed does not help: it fixes where the sequence
# of a session begins, and each run goes on from where the last one ended.
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_TRAINING_MODE = 2  # the place of the input that may make Dropout drop


class Facts(Struct, frozen=True):
    """What a file says: if an operator is random, and which inputs and outputs name no shape."""

    is_random: bool
    unranked: frozenset[str]


def read_facts(artifact: bytes) -> Facts:
    """Look through all graphs, functions and weights of a file.

    Raises Rejected("load") where it is no ONNX model, and Rejected("external") where it names other
    files as the place of its weights.
    """
    is_random = False
    unranked: set[str] = set()
    try:
        for kind, fields in _walk(memoryview(artifact)):
            if kind == "tensor":
                _refuse_external(fields)
            elif kind == "node":
                is_random = is_random or _is_random(fields)
            elif kind == "value":
                unranked.update(_unranked_name(fields))
    except ValueError as error:
        raise Rejected("load", "This file is no ONNX model.") from error
    return Facts(is_random, frozenset(unranked))


def _walk(artifact: memoryview) -> Iterator[tuple[str, Sequence[Field]]]:
    """Yield every message that may hold a tensor or a node, with its fields."""
    waiting = [("model", artifact)]
    while waiting:
        kind, message = waiting.pop()
        fields = list(read_fields(message))
        yield kind, fields
        children = _CHILDREN[kind]
        waiting += [
            (children[field.number], field.content())
            for field in fields
            if field.number in children
        ]


def _refuse_external(fields: Sequence[Field]) -> None:
    for field in fields:
        if field.number == _EXTERNAL_DATA or (
            field.number == _DATA_LOCATION and _EXTERNAL in map(_as_enum, field.integers())
        ):
            raise Rejected(
                "external", "Weights are in other files; save the model with its weights inside."
            )


def _as_enum(value: int) -> int:
    """Read a number as other readers do, whose enumerations have 32 bits."""
    return value & 0xFFFFFFFF


def _is_random(node: Sequence[Field]) -> bool:
    operators = [field.text() for field in node if field.number == _OP_TYPE]
    if operators == ["Dropout"]:
        inputs = [field.text() for field in node if field.number == _NODE_INPUT]
        return any(inputs[_TRAINING_MODE:])
    return not _RANDOM.isdisjoint(operators)


def _unranked_name(value: Sequence[Field]) -> Iterator[str]:
    """Yield the name of an input or output that is a tensor without a shape."""
    kinds = [f for f in value if f.number == _VALUE_TYPE]
    tensors = [t for f in kinds for t in read_fields(f.content()) if t.number == _TENSOR_TYPE]
    if tensors and not any(
        field.number == _SHAPE for tensor in tensors for field in read_fields(tensor.content())
    ):
        yield from (field.text() for field in value if field.number == _VALUE_NAME)
