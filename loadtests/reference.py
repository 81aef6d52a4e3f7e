"""What a reference costs and weighs: `python -m loadtests.reference`, of 50,000 rows of each kind.

Times are processor time, all threads summed, the least of a few repeats; sizes are of the JSON in a
manifest.
"""

import time
from collections.abc import Callable

import msgspec
import numpy as np

from registry.reference import derive_reference
from registry.tensors import Tensor

ROWS = 50_000
COLUMNS = 30
_REPEATS = 5
_MISSING = 0.01


def main() -> None:
    """Print the costs."""
    print(f"{f'reference of {ROWS:,} rows':34}{'seconds':>10}{'KB':>8}")
    for name, make in CASES.items():
        columns = make(ROWS)
        seconds, size = measure(columns)
        print(f"{name:34}{seconds:10.3f}{size / 1000:8.1f}", flush=True)


def measure(columns: dict[str, Tensor], repeats: int = _REPEATS) -> tuple[float, int]:
    """Return the least time of deriving a reference, in seconds, and its size, in bytes."""
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        reference = derive_reference(columns)
        least = min(least, time.process_time() - started)
    return least, len(msgspec.json.encode(reference))


def numbers(rows: int) -> dict[str, Tensor]:
    """Make a matrix [rows, 30] of FP32 of which one value in a hundred is missing."""
    random = np.random.default_rng(1)
    matrix = random.normal(size=(rows, COLUMNS)).astype(np.float32)
    matrix[random.random(matrix.shape) < _MISSING] = np.nan
    return {"X": matrix}


def _few_values(rows: int) -> dict[str, Tensor]:
    random = np.random.default_rng(2)
    return {f"x{i}": random.integers(0, 24, rows) for i in range(COLUMNS)}


def _categories(rows: int) -> dict[str, Tensor]:
    return {f"x{i}": _texts(rows, 100, i) for i in range(COLUMNS)}


def _ids(rows: int) -> dict[str, Tensor]:
    return {"id": _texts(rows, 20_000, 3)}


def _notes(rows: int) -> dict[str, Tensor]:
    random = np.random.default_rng(4)
    known = np.array([f"word{i}" for i in range(5000)], object)
    ranks = random.zipf(1.3, size=(rows, 20)) % known.size
    return {"note": np.array([" ".join(known[row]) for row in ranks], object)}


def _vectors(rows: int) -> dict[str, Tensor]:
    return {"embedding": np.random.default_rng(5).normal(size=(rows, 384)).astype(np.float32)}


def _texts(rows: int, values: int, seed: int) -> Tensor:
    drawn = np.random.default_rng(seed).integers(0, values, rows)
    return np.array([f"value-{i}" for i in range(values)], object)[drawn]


CASES: dict[str, Callable[[int], dict[str, Tensor]]] = {
    f"{COLUMNS} numeric": numbers,
    f"{COLUMNS} discrete": _few_values,
    f"{COLUMNS} categorical": _categories,
    "1 high-cardinality, 20,000 values": _ids,
    "1 text of 20 words": _notes,
    "1 embedding of 384 columns": _vectors,
}


if __name__ == "__main__":
    main()
