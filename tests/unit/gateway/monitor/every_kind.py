"""A version with an input of every kind and two outputs, and hostile rows for it."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from registry.datatypes import Datatype
from registry.manifest import Signature, TensorSpec
from registry.reference import derive_reference
from registry.tensors import Tensor

ROWS = 400
NAN, INF = float("nan"), float("inf")
SIZES = {"numbers": 4, "vector": 80, "scores": 2}
DATATYPES = {
    "numbers": Datatype.FP32,
    "whole": Datatype.INT64,
    "flag": Datatype.BOOL,
    "carrier": Datatype.BYTES,
    "tail": Datatype.BYTES,
    "note": Datatype.BYTES,
    "vector": Datatype.FP32,
    "scores": Datatype.FP64,
    "label": Datatype.BYTES,
}
OUTPUTS = ("scores", "label")
WORDS = [f"word{number}" for number in range(60)]

seeds = st.integers(0, 2**32 - 1)


def rows_like_training(seed: int, rows: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Draw inputs and outputs of each kind."""
    source = np.random.default_rng(seed)

    def texts(of: list[Any]) -> Tensor:
        return np.array(of, object)

    inputs = {
        "numbers": source.standard_normal((rows, 4)).astype(np.float32),
        "whole": source.integers(-9, 9, rows),
        "flag": source.random(rows) < 0.3,
        "carrier": source.choice(texts(["AA", "UA", "B6", *RARE]), rows, p=OFTEN),
        "tail": texts([f"N{number}" for number in source.integers(0, 900, rows)]),
        "note": texts([" ".join(source.choice(WORDS, 8)) for _ in range(rows)]),
        "vector": source.standard_normal((rows, 80)).astype(np.float32),
    }
    outputs = {
        "scores": source.random((rows, 2)),
        "label": source.choice(texts(["yes", "no"]), rows),
    }
    return inputs, outputs


RARE = [f"rare{number}" for number in range(40)]
OFTEN = [0.5, 0.3, 0.16, *[0.001] * 40]
TRAINING = rows_like_training(0, 3000)
EVERY_KIND = derive_reference(TRAINING[0], outputs=TRAINING[1])


def _spec(name: str) -> TensorSpec:
    shape = (-1, SIZES[name]) if name in SIZES else (-1,)
    return TensorSpec(name=name, datatype=DATATYPES[name], shape=shape)


SIGNATURE = Signature(
    inputs=tuple(_spec(name) for name in DATATYPES if name not in OUTPUTS),
    outputs=tuple(_spec(name) for name in OUTPUTS),
)


def every_kind_folder() -> Folder:
    return Folder(Layout.of(EVERY_KIND), EVERY_KIND, SIGNATURE)


def live_rows(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Draw rows as callers send them, some of them with what training never had."""
    inputs, outputs = rows_like_training(seed, ROWS)
    source = np.random.default_rng(seed)
    odd = [NAN, INF, -INF, 1e30, 0.0]
    for name in ("numbers", "vector", "scores"):
        tensor = inputs.get(name, outputs.get(name))
        assert tensor is not None
        hit = source.random(tensor.shape) < (0.001 if name == "vector" else 0.1)
        tensor[hit] = source.choice(odd, int(hit.sum()))
    inputs["whole"][:9] = source.integers(-(2**63), 2**63 - 1, 9)
    strange = [b"", "", b"\xff\xfe", "ÄÖ".encode(), "new", b"rare3", "a " * 500]
    for name in ("carrier", "tail", "note"):
        hit = source.random(ROWS) < 0.2
        inputs[name][hit] = source.choice(np.array(strange, object), int(hit.sum()))
    return inputs, outputs


def part(tensors: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {name: tensor[rows] for name, tensor in tensors.items()}
