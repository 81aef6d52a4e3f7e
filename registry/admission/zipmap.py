"""Classifiers whose probabilities are maps, as converters make them by default, made servable.

The operator ZipMap adds the names of the classes to each row of a tensor. The names are the same
for every row, so nothing is lost where the tensor itself is the answer and the names are kept once.
"""

from collections.abc import Iterator, Sequence

from registry.admission.wire import Field, read_fields, write_field

_GRAPH = 7
_NODE, _OUTPUT = 1, 12
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_INTS, _STRINGS = 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_FLOAT = 1

Labels = dict[str, tuple[str, ...]]


def without_zipmap(artifact: bytes) -> tuple[bytes, Labels]:
    """Let each output that is a ZipMap answer with the tensor of its probabilities.

    Returns the file, changed where it has such an output, and the names of the classes by output.
    Bytes that are no model come back as they are: admission will say so.
    """
    if b"ZipMap" not in artifact:
        return artifact, {}
    labels: Labels = {}
    try:
        parts = [
            write_field(_GRAPH, _open_graph(field.content(), labels))
            if field.number == _GRAPH
            else bytes(field.raw)
            for field in read_fields(memoryview(artifact))
        ]
    except ValueError:
        return artifact, {}
    return (b"".join(parts), labels) if labels else (artifact, {})


def _open_graph(graph: memoryview, labels: Labels) -> bytes:
    fields = list(read_fields(graph))
    nodes = [list(read_fields(f.content())) for f in fields if f.number == _NODE]
    used = {name for node in nodes for name in _texts(node, _NODE_INPUT)}
    outputs = {name for f in fields if f.number == _OUTPUT for name in _names(f)}
    for node in nodes:
        found = _texts(node, _NODE_OUTPUT)
        if _is_zipmap(node) and outputs.issuperset(found):
            # A node that reads the maps would not read a tensor.
            labels |= {name: _classes(node) for name in found if name not in used}
    return b"".join(_open_field(field, labels) for field in fields)


def _open_field(field: Field, labels: Labels) -> bytes:
    if field.number == _NODE:
        node = list(read_fields(field.content()))
        names = _texts(node, _NODE_OUTPUT)
        if any(name in labels for name in names):
            return write_field(_NODE, _identity(_texts(node, _NODE_INPUT), names))
    if field.number == _OUTPUT:
        for name in _names(field):
            if name in labels:
                return write_field(_OUTPUT, _matrix(name, len(labels[name])))
    return bytes(field.raw)


def _is_zipmap(node: Sequence[Field]) -> bool:
    return (_texts(node, _OP_TYPE), _texts(node, _DOMAIN)) == (["ZipMap"], ["ai.onnx.ml"])


def _identity(inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    parts = [write_field(_NODE_INPUT, name.encode()) for name in inputs]
    parts += [write_field(_NODE_OUTPUT, name.encode()) for name in outputs]
    return b"".join([*parts, write_field(_OP_TYPE, b"Identity")])


def _matrix(name: str, columns: int) -> bytes:
    """Declare an output of FP32 with any number of rows."""
    rows, sizes = write_field(1, b""), write_field(1, write_field(1, columns))
    tensor = write_field(1, _FLOAT) + write_field(2, rows + sizes)
    return write_field(_VALUE_NAME, name.encode()) + write_field(
        _VALUE_TYPE, write_field(1, tensor)
    )


def _classes(node: Sequence[Field]) -> tuple[str, ...]:
    return tuple(
        label
        for field in node
        if field.number == _ATTRIBUTE
        for label in _attribute_labels(list(read_fields(field.content())))
    )


def _attribute_labels(attribute: Sequence[Field]) -> Iterator[str]:
    for field in attribute:
        if field.number == _STRINGS:
            yield field.text()
        elif field.number == _INTS:
            yield from map(str, field.integers())


def _texts(message: Sequence[Field], number: int) -> list[str]:
    return [field.text() for field in message if field.number == number]


def _names(field: Field) -> list[str]:
    return _texts(list(read_fields(field.content())), _VALUE_NAME)
