"""What watching live values costs: `python -m loadtests.monitor`, of a thread's processor time.

Each number is the least of many repeats, so that a busy machine disturbs it little.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from gateway.monitor.comparison import compare
from gateway.monitor.detector import Detector, State, write_state
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout, to_bytes
from loadtests.reference import COLUMNS, numbers
from loadtests.timing import least_us
from registry.datatypes import Datatype
from registry.distribution import Reference
from registry.manifest import Signature, TensorSpec
from registry.reference import derive_reference
from registry.tensors import Tensor

BLOCKS = (16, 256, 1024)
SECONDS = 60  # of a look
_TRAINING_ROWS = 50_000
_REPEATS = 40
_SIGNATURE = Signature(
    inputs=(TensorSpec(name="X", datatype=Datatype.FP32, shape=(-1, COLUMNS)),), outputs=()
)
_APART = Signature(
    inputs=tuple(
        TensorSpec(name=f"x{i}", datatype=Datatype.FP32, shape=(-1,)) for i in range(COLUMNS)
    ),
    outputs=(),
)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)

Requests = list[dict[str, Tensor]]


def main() -> None:
    """Print the costs."""
    print(f"{'us per row, in blocks of':58}" + "".join(f"{rows:>9,}" for rows in BLOCKS))
    for name, (signature, make) in CASES.items():
        for has_joint in (False, True):
            label = f"{name}, with joint distance" if has_joint else name
            reference = make_reference(signature, has_joint=has_joint)
            costs = [fold_us(reference, signature, make(rows)) / rows for rows in BLOCKS]
            print(f"{label:58}" + "".join(f"{cost:9.2f}" for cost in costs), flush=True)
    print(f"{'keep a request to be folded, us':58}{add_us():9.2f}")
    for rows in (250, 60_000):
        label = f"look at {rows:,} rows in {SECONDS} blocks, ms"
        milliseconds, size = look_ms(rows)
        print(f"{label:58}{milliseconds:9.1f}   state of {size / 1000:.1f} KB", flush=True)
    layout = Layout.of(make_reference(_SIGNATURE, has_joint=True))
    compared_us = least_us(lambda: compare(layout, layout.reference))
    print(f"{'compare a window, ms':58}{compared_us / 1000:9.1f}")
    print(f"{'summary, KB':58}{len(to_bytes(layout.reference)) / 1000:9.1f}")


def make_reference(signature: Signature, *, has_joint: bool) -> Reference:
    """Derive a reference of thirty numbers a row, of one input or of thirty."""
    matrix = numbers(_TRAINING_ROWS)["X"]
    found = derive_reference({"X": matrix} if signature is _SIGNATURE else _columns(matrix))
    return found if has_joint else Reference(rows=found.rows, features=found.features)


def one_request(rows: int) -> Requests:
    return [numbers(rows)]


def requests_of_a_row(rows: int) -> Requests:
    matrix = numbers(rows)["X"]
    return [{"X": matrix[i : i + 1]} for i in range(rows)]


def one_request_of_columns(rows: int) -> Requests:
    return [_columns(numbers(rows)["X"])]


def _columns(matrix: Tensor) -> dict[str, Tensor]:
    return {f"x{i}": np.ascontiguousarray(matrix[:, i]) for i in range(COLUMNS)}


CASES: dict[str, tuple[Signature, Callable[[int], Requests]]] = {
    f"{COLUMNS} numbers, one request": (_SIGNATURE, one_request),
    f"{COLUMNS} numbers, a request for each row": (_SIGNATURE, requests_of_a_row),
    f"{COLUMNS} inputs of a number, one request": (_APART, one_request_of_columns),
}


def fold_us(reference: Reference, signature: Signature, requests: Requests) -> float:
    """Measure adding and folding requests, in microseconds for all of them."""
    folder = Folder(Layout.of(reference), reference, signature)

    def fold() -> None:
        for request in requests:
            folder.add(request, {})
        folder.fold()

    return least_us(fold)


def add_us() -> float:
    """Measure what a request waits for."""
    reference = make_reference(_SIGNATURE, has_joint=False)
    folder = Folder(Layout.of(reference), reference, _SIGNATURE)
    request, times = numbers(1), 1000

    def add() -> None:
        for _ in range(times):
            folder.add(request, {})

    least = float("inf")
    for _ in range(_REPEATS):
        least = min(least, _once_us(add))
        folder.fold()
    return least / times


def look_ms(rows: int) -> tuple[float, int]:
    """Measure a look at thirty features, and the size of what a detector remembers."""
    reference = make_reference(_SIGNATURE, has_joint=False)
    layout = Layout.of(reference)
    detector = Detector(layout, average_run_length=130_000)
    folder = Folder(layout, reference, _SIGNATURE)
    blocks = []
    for part in np.array_split(numbers(rows)["X"], SECONDS):
        before = folder.counts.copy()
        folder.add({"X": part}, {})
        folder.fold()
        blocks.append((folder.counts - before).tolist())
    state = detector.look(State(), blocks, _NOW, _NOW).state
    least = least_us(lambda: detector.look(state, blocks, _NOW, _NOW))
    return least / 1000, len(write_state(state))


def _once_us(call: Callable[[], object]) -> float:
    started = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - started) / 1000


if __name__ == "__main__":
    main()
