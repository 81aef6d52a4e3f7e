"""Runs one version: warm, in time, and where it disturbs the other requests least.

Short runs happen on the event loop, since a thread costs more than they do; long ones in a thread.
"""

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from registry.admission.samples import given_sample, made_samples, various
from registry.manifest import SampleTensor, Signature, TensorSpec
from registry.session import InvalidArgument, RunOptions, open_session
from registry.tensors import Tensor, encode_tensors

INLINE_LIMIT_US = 200.0
_SAMPLE_ROWS = 64
_TEST_ROWS = 16
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
        sample: Sequence[SampleTensor] = (),
    ) -> None:
        """Load and warm the artifact. Raises Rejected, RunFailed and RunTimeout."""
        self._model, self._version = model, version
        self._session = open_session(artifact)
        self.outputs = [spec.name for spec in signature.outputs]
        self._watchdog = watchdog
        self._excess_us = self._fixed_us = self._row_us = 0.0
        self._is_bounded = not may_loop(artifact)
        self._warm(signature, sample)
        self.is_batchable = self._is_bounded and self._rows_are_independent(signature)

    def is_short(self, rows: int) -> bool:
        """Say whether a run of so many rows may hold up the event loop."""
        return self._is_bounded and self.predicted_us(rows) <= INLINE_LIMIT_US

    def predicted_us(self, rows: int) -> float:
        """Predict the processor time of a run: measured when warmed, corrected by later runs."""
        return self._fixed_us + self._row_us * rows + max(0.0, self._excess_us)

    def compute(self, tensors: Mapping[str, Tensor], rows: int) -> list[Tensor]:
        """Return the values of `outputs`. Raises InputNotAccepted, RunFailed and RunTimeout."""
        options = RunOptions()
        started = time.thread_time()
        self._watchdog.begin(options)
        try:
            values: list[Tensor] = self._session.run(self.outputs, tensors, options)
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
            # One run that was held up must not send the next ones to a thread.
            surprise_us = elapsed_us - self._fixed_us - self._row_us * rows
            surprise_us = min(surprise_us, self._excess_us + INLINE_LIMIT_US)
            self._excess_us += (surprise_us - self._excess_us) / _SMOOTHING
        return values

    def _warm(self, signature: Signature, sample: Sequence[SampleTensor]) -> None:
        """Time the first inputs that the model accepts and, where rows are free, more of them."""
        candidates = [given_sample(signature, sample)] if sample else made_samples(signature)
        for inputs in candidates:
            try:
                self._fixed_us = self._sample(inputs, 1)
                break
            except (InputNotAccepted, RunFailed):
                continue
        else:
            # Nobody knows what a run takes, so none may hold up the event loop.
            self._is_bounded = False
            return
        if not all(spec.shape and spec.shape[0] < 0 for spec in signature.inputs):
            return
        many = {name: tensor.repeat(_SAMPLE_ROWS, axis=0) for name, tensor in inputs.items()}
        try:
            many_us = self._sample(many, _SAMPLE_ROWS)
        except (InputNotAccepted, RunFailed):
            return
        self._row_us = max(0.0, many_us - self._fixed_us) / _SAMPLE_ROWS

    def _sample(self, inputs: Mapping[str, Tensor], rows: int) -> float:
        fastest = float("inf")
        for _ in range(_SAMPLES):
            started = time.thread_time()
            self.compute(inputs, rows)
            fastest = min(fastest, (time.thread_time() - started) * 1e6)
        self._excess_us = 0.0
        return fastest

    def _rows_are_independent(self, signature: Signature) -> bool:
        """Test that rows get the same bits alone, in pairs and all together.

        Only versions whose inputs have a free first dimension and no other, the same for all of
        them, and whose outputs follow it, can pass.
        """
        if not all(map(_has_only_free_rows, signature.inputs)) or not _share_rows(signature):
            return False
        rows = _TEST_ROWS
        inputs = {spec.name: various(spec, (rows, *spec.shape[1:])) for spec in signature.inputs}
        try:
            answers = [self._answer_in_parts(inputs, size) for size in (rows, 2, 1)]
        except (InputNotAccepted, RunFailed):
            return False
        finally:
            self._excess_us = 0.0
        return answers[0] is not None and answers[0] == answers[1] == answers[2]

    def _answer_in_parts(self, inputs: Mapping[str, Tensor], size: int) -> list[bytes] | None:
        """Return all outputs as bytes, from runs of `size` rows; None if they differ in rows."""
        answers: list[list[Tensor]] = []
        for start in range(0, _TEST_ROWS, size):
            parts = {name: tensor[start : start + size] for name, tensor in inputs.items()}
            answers.append(self.compute(parts, size))
        if any(not value.shape or len(value) != size for part in answers for value in part):
            return None
        joined = [np.concatenate(values) for values in zip(*answers, strict=True)]
        return [encode_tensors({"": value}) for value in joined]


def _has_only_free_rows(spec: TensorSpec) -> bool:
    return (
        spec.shape[:1] == (-1,)
        and not spec.is_unranked
        and all(size >= 0 for size in spec.shape[1:])
    )


def _share_rows(signature: Signature) -> bool:
    """Say whether every request has as many rows in each input: else nobody knows whose are whose.

    The sum of the rows of several requests may agree where those of each do not.
    """
    rows = {(spec.name, 0) for spec in signature.inputs}
    return len(rows) == 1 or any(rows.issubset(places) for places in signature.shared.values())
