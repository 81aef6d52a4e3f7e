"""Tensors as tables a person can read: a line for each value of a row, a column for each row."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.dossier.words import shown
from gateway.page.markup import Child, Markup, element, join
from gateway.page.parts import Line, table
from registry.distribution import Reference
from registry.portrait import in_words
from registry.tensors import Tensor, datatype_of

_MOST_ROWS = 6
_MOST_COLUMNS = 60
_MOST_VALUES = 40


def tensor_table(
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    labels: Mapping[str, Sequence[str]],
    reference: Reference | None = None,
    class_: str = "valued",
) -> Markup:
    """Show tensors of rows in one table, and others by their shape and first values.

    `labels` name the columns of a tensor; a reference adds what was seen in training. `class_` is
    that of a table of one row.
    """
    flat = {name: tensor for name, tensor in tensors.items() if _has_lines(tensor)}
    rows = min(_MOST_ROWS, max((_rows(tensor) for tensor in flat.values()), default=0))
    seen = {} if reference is None else {(f.input, f.column): f for f in reference.features}
    head: list[Child] = [what, *(["value"] if rows == 1 else [f"row {i}" for i in range(rows)])]
    lines: list[Line] = []
    for name, tensor in flat.items():
        for column, values in _columns(tensor, rows):
            line: list[Child] = [_label(name, column, labels), *values]
            if reference is not None:
                feature = seen.get((name, column)) or seen.get((name, None))
                line.append("–" if feature is None else in_words(feature))
            lines.append(tuple(line))
    if reference is not None:
        head.append("seen in training")
    parts = [table(head, lines, class_ if rows == 1 else "")] if lines else []
    parts += [_more_rows(flat, rows)]
    parts += [_first_values(name, t) for name, t in tensors.items() if name not in flat]
    return join(*parts)


def _has_lines(tensor: Tensor) -> bool:
    return tensor.ndim < 2 or (tensor.ndim == 2 and int(tensor.shape[1]) <= _MOST_COLUMNS)


def _rows(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.ndim else 1


def _columns(tensor: Tensor, rows: int) -> Iterator[tuple[int | None, list[str]]]:
    if tensor.ndim == 2 and tensor.shape[1] != 1:
        for column in range(tensor.shape[1]):
            yield column, [shown(value) for value in tensor[:rows, column]]
    else:
        yield None, [shown(value) for value in tensor.ravel()[:rows]]


def _label(name: str, column: int | None, labels: Mapping[str, Sequence[str]]) -> str:
    if column is None:
        return name
    known = labels.get(name, ())
    return f"{name}: {known[column]}" if column < len(known) else f"{name}[{column}]"


def _more_rows(flat: Mapping[str, Tensor], rows: int) -> Markup:
    longest = max((_rows(tensor) for tensor in flat.values()), default=0)
    if longest <= rows:
        return join()
    return element(
        "p",
        f"{rows} of {longest:,} rows are shown. All of them are in this file as data.",
        class_="soft small",
    )


def _first_values(name: str, tensor: Tensor) -> Markup:
    values = ", ".join(shown(value) for value in tensor.ravel()[:_MOST_VALUES])
    more = ", …" if tensor.size > _MOST_VALUES else ""
    kind = f"{datatype_of(tensor)} of the shape {list(tensor.shape)}"
    return join(
        element("h3", name),
        element("p", f"{kind}: {tensor.size:,} values, of which the first are", class_="soft"),
        element("pre", values + more),
    )
