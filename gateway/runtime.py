"""Runs one version: warm, in time, and where it disturbs the other requests least.

Short runs happen on the event loop, since a thread costs more than they do; long ones in a thread.
"""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from registry.admission.inspector import smallest_input
from registry.records import Signature
from registry.session import InvalidArgument, RunOptions, open_session
from registry.tensors import Tensor

INLINE_LIMIT_US = 100.0
_SAMPLE_ROWS = 64
_SAMPLES = 5
_SMOOTHING = 8


def may_loop(artifact: bytes) -> bool:
    """Say whether a model has an operator whose time depends on the values of its input.

    Looks for the field `op_type` of a node as Protocol Buffers write it: tag 0x22, length, text. A
    weight that happens to hold these bytes costs a thread, nothing more.
    """
    return any(b"\x22\x04" + operator in artifact for operator in (b"Loop", b"Scan"))


class Watchdog:
    """Ends runs that pass their deadline, wherever they run."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._runs: dict[int, tuple[float, RunOptions]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def begin(self, options: RunOptions) -> None:
        self._runs[id(options)] = (time.monotonic() + self.deadline_s, options)

    def end(self, options: RunOptions) -> None:
        del self._runs[id(options)]

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self.deadline_s / 20):
            now = time.monotonic()
            for deadline, options in list(self._runs.values()):
                if now > deadline:
                    options.terminate = True


class Runner:
    """One loaded version that has answered before it is asked."""

    def __init__(
        self,
        *,
        model: str,
        version: int,
        artifact: bytes,
        signature: Signature,
        watchdog: Watchdog,
        executor: ThreadPoolExecutor,
    ) -> None:
        """Load and warm the artifact. Raises Rejected, RunFailed and RunTimeout."""
        self._model, self._version = model, version
        self._session = open_session(artifact)
        self._outputs = [spec.name for spec in signature.outputs]
        self._watchdog = watchdog
        self._executor = executor
        self._excess_us = 0.0
        self._fixed_us, self._row_us = self._warm(signature)
        self._is_bounded = not may_loop(artifact)

    async def run(
        self, tensors: Mapping[str, Tensor], rows: int, outputs: Sequence[str] | None
    ) -> dict[str, Tensor]:
        """Answer named inputs with named outputs, all or those asked for.

        Raises InputNotAccepted, RunFailed and RunTimeout.
        """
        names = self._outputs if outputs is None else list(outputs)
        if self._is_bounded and self.predicted_us(rows) <= INLINE_LIMIT_US:
            values = self._run(names, tensors, rows)
        else:
            loop = asyncio.get_running_loop()
            values = await loop.run_in_executor(self._executor, self._run, names, tensors, rows)
        return dict(zip(names, values, strict=True))

    def predicted_us(self, rows: int) -> float:
        """Predict the processor time of a run: measured when warmed, corrected by later runs."""
        return self._fixed_us + self._row_us * rows + max(0.0, self._excess_us)

    def _run(self, names: list[str], tensors: Mapping[str, Tensor], rows: int) -> list[Tensor]:
        options = RunOptions()
        started = time.thread_time()
        self._watchdog.begin(options)
        try:
            values: list[Tensor] = self._session.run(names, tensors, options)
        except InvalidArgument as error:
            raise InputNotAccepted(self._model, self._version) from error
        except Exception as error:
            if options.terminate:
                deadline_s = self._watchdog.deadline_s
                raise RunTimeout(self._model, self._version, deadline_s) from error
            raise RunFailed(self._model, self._version) from error
        finally:
            self._watchdog.end(options)
            elapsed_us = (time.thread_time() - started) * 1e6
            surprise_us = elapsed_us - self._fixed_us - self._row_us * rows
            self._excess_us += (surprise_us - self._excess_us) / _SMOOTHING
        return values

    def _warm(self, signature: Signature) -> tuple[float, float]:
        """Run the smallest input and, where rows are free, a larger one; return us and us a row."""
        self._fixed_us = self._row_us = 0.0
        inputs = {spec.name: smallest_input(spec) for spec in signature.inputs}
        fixed_us = self._sample(inputs, 1)
        if not all(spec.shape and spec.shape[0] < 0 for spec in signature.inputs):
            return fixed_us, 0.0
        many = {name: tensor.repeat(_SAMPLE_ROWS, axis=0) for name, tensor in inputs.items()}
        try:
            many_us = self._sample(many, _SAMPLE_ROWS)
        except (InputNotAccepted, RunFailed):
            return fixed_us, 0.0
        return fixed_us, max(0.0, many_us - fixed_us) / _SAMPLE_ROWS

    def _sample(self, inputs: dict[str, Any], rows: int) -> float:
        fastest = float("inf")
        for _ in range(_SAMPLES):
            started = time.thread_time()
            self._run(self._outputs, inputs, rows)
            fastest = min(fastest, (time.thread_time() - started) * 1e6)
        self._excess_us = 0.0
        return fastest
