"""A version runs warm, in time, and on the event loop only where that is short."""

from collections.abc import Iterator

import numpy as np
import pytest

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from gateway.runtime import INLINE_LIMIT_US, Runner, Watchdog, may_loop
from registry.errors import Rejected
from registry.session import open_session, read_signature
from tests.builders import identity_model, linear_model, looping_model, make_model

DEADLINE_S = 0.5


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(DEADLINE_S)
    yield watchdog
    watchdog.close()


def make_runner(artifact: bytes, watchdog: Watchdog) -> Runner:
    return Runner(
        model="m",
        version=1,
        artifact=artifact,
        signature=read_signature(open_session(artifact)),
        watchdog=watchdog,
    )


def test_a_run_answers_with_all_outputs(watchdog: Watchdog) -> None:
    runner = make_runner(linear_model(2.0), watchdog)
    tensors = {"x": np.ones((2, 3), np.float32)}

    [values] = runner.compute(tensors, 2)

    assert values.tolist() == [[6.0], [6.0]]


def test_a_long_run_is_ended_at_its_deadline(watchdog: Watchdog) -> None:
    endless = make_runner(looping_model(), watchdog)

    with pytest.raises(RunTimeout):
        endless.compute({"n": np.array([1 << 62])}, 1)


def test_a_model_with_a_loop_is_never_short(watchdog: Watchdog) -> None:
    assert may_loop(looping_model())
    assert not may_loop(linear_model())
    assert not make_runner(looping_model(), watchdog).is_short(1)


def test_the_prediction_grows_with_rows_and_with_what_runs_really_take(
    watchdog: Watchdog,
) -> None:
    runner = make_runner(linear_model(columns=2000), watchdog)

    assert runner.predicted_us(100_000) > runner.predicted_us(1)
    runner._excess_us = 2 * INLINE_LIMIT_US
    assert runner.predicted_us(1) > INLINE_LIMIT_US


def test_an_input_the_model_cannot_compute_with_is_the_callers_fault(
    watchdog: Watchdog,
) -> None:
    runner = make_runner(linear_model(), watchdog)

    with pytest.raises((InputNotAccepted, RunFailed)):
        runner.compute({"x": np.ones((2, 5), np.float32)}, 2)


def test_bytes_that_are_no_model_are_rejected(
    watchdog: Watchdog,
) -> None:
    signature = read_signature(open_session(identity_model()))
    with pytest.raises(Rejected):
        Runner(
            model="m", version=1, artifact=b"no model", signature=signature,
            watchdog=watchdog,
        )  # fmt: skip


def test_a_model_that_runs_on_no_second_row_is_served_all_the_same(
    watchdog: Watchdog,
) -> None:
    from onnx import helper

    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    constants = {"shape": np.array([1], np.int64)}
    artifact = make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", (1,))], constants)

    runner = make_runner(artifact, watchdog)
    answer = runner.compute({"x": np.ones(1, np.float32)}, 1)

    assert answer[0].tolist() == [1.0]
    assert not runner.is_batchable
