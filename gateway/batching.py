"""Runs the requests of one version that arrived in the same turn of the event loop.

There is no timer: a lone request runs in the turn it came in, and an idle gateway waits for
nothing. Only versions whose self-test showed that the size of a batch changes no bit are joined.
"""

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter_ns

import numpy as np
from msgspec import Struct

from gateway.protocol.messages import InferRequest
from gateway.runtime import Runner
from registry.tensors import Tensor


class Run(Struct, frozen=True):
    """All outputs of one request, the rows that ran together, and where its own began.

    `requests` is how many ran together, told by the first of them alone. The run began at
    `started_ns` of the performance counter and took `compute_ns`.
    """

    values: list[Tensor]
    batch: int
    batch_row: int
    requests: int
    started_ns: int
    compute_ns: int


class Batch(Struct, frozen=True):
    """What each of some requests got, and the outputs of all of their rows.

    `values` is None where they did not run together, or the run failed.
    """

    runs: list[Run | Exception]
    values: list[Tensor] | None


def split_turn(rows: Sequence[int], runner: Runner) -> Iterator[slice]:
    """Cut a turn's requests, of so many rows each, into batches that may hold up the event loop."""
    start = total = 0
    for at, own in enumerate(rows):
        if at > start and not (runner.is_batchable and runner.is_short(total + own)):
            yield slice(start, at)
            start, total = at, 0
        total += own
    if rows:
        yield slice(start, len(rows))


def join(requests: Sequence[InferRequest]) -> Mapping[str, Tensor]:
    """Put the rows of requests to one version below each other."""
    if len(requests) == 1:
        return requests[0].tensors
    columns = zip(*(request.tensors.values() for request in requests), strict=True)
    return dict(zip(requests[0].tensors, map(np.concatenate, columns), strict=True))


def run_batch(
    runner: Runner, requests: Sequence[InferRequest], joined: Mapping[str, Tensor]
) -> Batch:
    """Answer the requests that `joined` holds; each gets what it would have got alone.

    Where they cannot run together, each runs by itself, and a fault is only of those it belongs to.
    A single row of a version whose rows run together runs beside a copy of itself, since libraries
    have routines of their own for one row, whose last bits are not those of the others.
    """
    rows = sum(request.rows for request in requests)
    if rows == 1 and len(requests) == 1 and runner.is_batchable:
        return _run_doubled(runner, joined)
    started_ns = perf_counter_ns()
    try:
        values = runner.compute(joined, rows)
    except Exception as error:  # noqa: BLE001 - a value, so that each request gets its own
        return Batch([error], None) if len(requests) == 1 else _run_alone(runner, requests)
    compute_ns = perf_counter_ns() - started_ns
    if len(requests) == 1:
        return Batch([Run(values, rows, 0, 1, started_ns, compute_ns)], values)
    if any(value.shape[:1] != (rows,) for value in values):
        # The model dropped or added rows, so nobody can say whose these are.
        return _run_alone(runner, requests)
    runs: list[Run | Exception] = []
    start, told = 0, len(requests)
    for request in requests:
        end = start + request.rows
        own = [value[start:end] for value in values]
        runs.append(Run(own, rows, start, told, started_ns, compute_ns))
        start, told = end, 0
    return Batch(runs, values)


def _run_doubled(runner: Runner, inputs: Mapping[str, Tensor]) -> Batch:
    """Run one row, twice."""
    twice = {name: np.repeat(tensor, 2, 0) for name, tensor in inputs.items()}
    started_ns = perf_counter_ns()
    try:
        values = [value[:1] for value in runner.compute(twice, 2)]
    except Exception as error:  # noqa: BLE001 - a value, so that the request gets its own
        return Batch([error], None)
    return Batch([Run(values, 2, 0, 1, started_ns, perf_counter_ns() - started_ns)], values)


def _run_alone(runner: Runner, requests: Sequence[InferRequest]) -> Batch:
    return Batch([run_one(runner, request) for request in requests], None)


def run_one(runner: Runner, request: InferRequest) -> Run | Exception:
    """Answer a request by itself; a fault is a value."""
    return run_batch(runner, [request], request.tensors).runs[0]
