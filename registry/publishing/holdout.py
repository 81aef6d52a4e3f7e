"""What a model answers on rows that it was not trained on."""

from collections.abc import Iterator

import numpy as np

from registry.errors import Rejected, clip
from registry.manifest import Signature
from registry.publishing.tables import Columns, match_inputs
from registry.session import open_session, read_signature
from registry.tensors import Tensor

_BLOCK_ROWS = 1024


def answer_rows(artifact: bytes, columns: Columns, check: str) -> dict[str, Tensor]:
    """Run a model on held-out rows; gives each output that has a row for each of them.

    Rows go in blocks, of the size that the model takes where its file fixes one; rows that do not
    fill such a block are not run. Raises Rejected with `check` where the model fails on them.
    """
    session = open_session(artifact)
    signature = read_signature(session)
    inputs = match_inputs(columns, signature)
    names = [spec.name for spec in signature.outputs]
    answers: list[dict[str, Tensor]] = []
    try:
        for block in _blocks(inputs, _fixed_rows(signature)):
            rows = len(next(iter(block.values())))
            found = zip(names, session.run(None, block), strict=True)
            answers.append({name: t for name, t in found if t.ndim and len(t) == rows})
    except Exception as error:  # onnxruntime raises types of its own, without a root
        reason = clip(str(error).split("\n", 1)[0], 200)
        raise Rejected(check, f"The model fails on held-out rows: {reason}") from error
    if not answers:
        raise Rejected(check, "The held-out rows are fewer than the model takes at a time.")
    return {
        name: np.concatenate([answer[name] for answer in answers])
        for name in answers[0]
        if len({_row_shape(answer.get(name)) for answer in answers}) == 1
    }


def _row_shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tensor.shape[1:]


def _fixed_rows(signature: Signature) -> int | None:
    return next(
        (spec.shape[0] for spec in signature.inputs if spec.shape and spec.shape[0] > 0), None
    )


def _blocks(inputs: Columns, fixed: int | None) -> Iterator[Columns]:
    rows = len(next(iter(inputs.values())))
    size = fixed or _BLOCK_ROWS
    for start in range(0, rows if fixed is None else rows - size + 1, size):
        yield {name: tensor[start : start + size] for name, tensor in inputs.items()}
