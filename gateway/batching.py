"""Joins the requests of one version that arrive in the same turn of the event loop.

There is no timer: a lone request runs in the turn it came in, and an idle gateway waits for
nothing. Only versions whose self-test showed that the size of a batch changes no bit are joined.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from gateway.runtime import Runner
from registry.tensors import Tensor


class Run(Struct, frozen=True):
    """The outputs of one request, the rows that ran together, and where its own began.

    `requests` ran together; `queue_ns` is the time this one waited, `compute_ns` that of the run.
    """

    outputs: dict[str, Tensor]
    batch: int
    batch_row: int
    requests: int
    queue_ns: int
    compute_ns: int


class _Request(Struct, frozen=True):
    tensors: Mapping[str, Tensor]
    rows: int
    done: asyncio.Future["_Ran"]


class _Ran(Struct, frozen=True):
    values: list[Tensor]
    batch: int
    batch_row: int
    requests: int
    started_ns: int
    ended_ns: int


class Batcher:
    """Runs requests of one version: together where that is shown to be the same, else alone."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._turn: list[_Request] = []

    @property
    def is_batchable(self) -> bool:
        """Whether requests may run together: no bit of an answer depends on it."""
        return self._runner.is_batchable

    async def run(
        self, tensors: Mapping[str, Tensor], rows: int, outputs: Sequence[str] | None
    ) -> Run:
        """Answer named inputs with named outputs, all or those asked for.

        Raises InputNotAccepted, RunFailed and RunTimeout.
        """
        asked_ns = time.perf_counter_ns()
        if self._runner.is_batchable and self._runner.is_short(rows):
            ran = await self._join(tensors, rows)
        else:
            values = await self._runner.run(tensors, rows)
            ran = _Ran(values, rows, 0, 1, asked_ns, time.perf_counter_ns())
        answers = dict(zip(self._runner.outputs, ran.values, strict=True))
        return Run(
            outputs=answers if outputs is None else {name: answers[name] for name in outputs},
            batch=ran.batch,
            batch_row=ran.batch_row,
            requests=ran.requests,
            queue_ns=ran.started_ns - asked_ns,
            compute_ns=ran.ended_ns - ran.started_ns,
        )

    async def _join(self, tensors: Mapping[str, Tensor], rows: int) -> _Ran:
        loop = asyncio.get_running_loop()
        request = _Request(tensors, rows, loop.create_future())
        self._turn.append(request)
        if len(self._turn) == 1:
            loop.call_soon(self._run_turn)
        return await request.done

    def _run_turn(self) -> None:
        turn, self._turn = self._turn, []
        batch: list[_Request] = []
        rows = 0
        for request in turn:
            if request.done.cancelled():
                continue
            if batch and not self._runner.is_short(rows + request.rows):
                self._run_batch(batch, rows)
                batch, rows = [], 0
            batch.append(request)
            rows += request.rows
        if batch:
            self._run_batch(batch, rows)

    def _run_batch(self, batch: list[_Request], rows: int) -> None:
        started_ns = time.perf_counter_ns()
        try:
            values = self._runner.compute(_joined(batch), rows)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            if len(batch) == 1:
                batch[0].done.set_exception(error)
            else:
                # One of them is at fault: each gets what it would have got alone.
                self._run_alone(batch)
            return
        if len(batch) > 1 and any(value.shape[:1] != (rows,) for value in values):
            # The model dropped or added rows, so nobody can say whose these are.
            self._run_alone(batch)
            return
        ended_ns = time.perf_counter_ns()
        start = 0
        for request in batch:
            end = start + request.rows
            own = values if len(batch) == 1 else [value[start:end] for value in values]
            request.done.set_result(_Ran(own, rows, start, len(batch), started_ns, ended_ns))
            start = end

    def _run_alone(self, batch: list[_Request]) -> None:
        for request in batch:
            self._run_batch([request], request.rows)


def _joined(batch: list[_Request]) -> Mapping[str, Tensor]:
    if len(batch) == 1:
        return batch[0].tensors
    return {
        name: np.concatenate([request.tensors[name] for request in batch])
        for name in batch[0].tensors
    }
