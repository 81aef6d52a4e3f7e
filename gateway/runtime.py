"""Runs one version: warm, in time, and where it disturbs the other requests least.

Short runs happen on the event loop, since a thread costs more than they do; long ones in a thread.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from registry.admission.samples import given_sample, made_samples, various
from registry.manifest import SampleTensor, Signature, TensorSpec
from registry.session import InvalidArgument, RunOptions, open_session
from registry.tensors import Tensor, encode_tensors

INLINE_LIMIT_US = 200.0
_SAMPLE_ROWS = 64
_TEST_ROWS = 48
# So many rows at a time are compared; what is compared last is one row beside a copy of itself.
_SCALES = (100.0, 1.0, 0.01)
_TEST_SIZES = (_TEST_ROWS, 5, 3, 2)
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
        # By what clock, and when, each run has to end.
        self._runs: dict[int, tuple[int, float, RunOptions]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def begin(self, options: RunOptions) -> None:
        deadline = time.monotonic() + self.deadline_s
        self._runs[id(options)] = (time.CLOCK_MONOTONIC, deadline, options)

    def end(self, options: RunOptions) -> None:
        del self._runs[id(options)]

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self.deadline_s / 20):
            for clock, deadline, options in list(self._runs.values()):
                if time.clock_gettime(clock) > deadline:
                    options.terminate = True


class ProcessorWatchdog(Watchdog):
    """Ends runs that use more processor time than the deadline, however long others held them up.

    The time is that of the thread that runs.
    """

    def begin(self, options: RunOptions) -> None:
        clock = time.pthread_getcpuclockid(threading.get_ident())
        self._runs[id(options)] = (clock, time.clock_gettime(clock) + self.deadline_s, options)


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
        # Two rows that may not hold up the event loop are never run together.
        self.is_batchable = self.is_short(2) and self._rows_are_independent(signature, sample)

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

    def _rows_are_independent(self, signature: Signature, sample: Sequence[SampleTensor]) -> bool:
        """Test that rows get the same bits in company of any number of others.

        Only versions whose inputs have a free first dimension and no other, the same for all of
        them, and whose outputs follow it, can pass. A single row is not tried alone: there are
        other routines for it, with other last bits, so it never runs alone
        (`gateway.batching.run_batch`).
        """
        if not all(map(_has_only_free_rows, signature.inputs)) or not _share_rows(signature):
            return False
        try:
            return all(
                self._parts_agree({name: _repeat(tensor) for name, tensor in inputs.items()})
                for inputs in _tried(signature, sample)
            )
        except (InputNotAccepted, RunFailed):
            return False
        finally:
            self._excess_us = 0.0

    def _parts_agree(self, inputs: Mapping[str, Tensor]) -> bool:
        whole, *others = [self._answer_in_parts(inputs, size) for size in _TEST_SIZES]
        return whole is not None and all(
            other == whole for other in [*others, self._doubled(inputs)]
        )

    def _doubled(self, inputs: Mapping[str, Tensor]) -> list[bytes] | None:
        """Answer each row beside a copy of itself."""
        twice = {name: tensor.repeat(2, axis=0) for name, tensor in inputs.items()}
        return self._answer_in_parts(twice, 2, every=2)

    def _answer_in_parts(
        self, inputs: Mapping[str, Tensor], size: int, every: int = 1
    ) -> list[bytes] | None:
        """Return all outputs as bytes, from runs of `size` rows; None if they differ in rows.

        Of the rows of outputs each that is `every` rows after the one before is returned.
        """
        count = len(next(iter(inputs.values())))
        answers: list[list[Tensor]] = []
        for start in range(0, count, size):
            parts = {name: tensor[start : start + size] for name, tensor in inputs.items()}
            rows = min(size, count - start)
            answers.append(self.compute(parts, rows))
            if any(value.shape[:1] != (rows,) for value in answers[-1]):
                return None
        joined = [np.concatenate(values) for values in zip(*answers, strict=True)]
        return [encode_tensors({"": value[::every]}) for value in joined]


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


def _tried(signature: Signature, sample: Sequence[SampleTensor]) -> Iterator[Mapping[str, Tensor]]:
    """Yield inputs to compare rows by: of several magnitudes, and the publisher's own.

    Values far from those of life can make every answer a plain 0 or 1, which hides all else.
    """
    for scale in _SCALES:
        yield {
            spec.name: various(spec, (_TEST_ROWS, *spec.shape[1:]), scale)
            for spec in signature.inputs
        }
    if sample:
        yield given_sample(signature, sample)


def _repeat(tensor: Tensor) -> Tensor:
    """Repeat rows until there are as many as are compared."""
    times = -(-_TEST_ROWS // max(1, len(tensor)))
    return np.concatenate([tensor] * times)[:_TEST_ROWS]
