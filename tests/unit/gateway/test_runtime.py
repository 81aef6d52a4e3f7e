"""A version runs warm, in time, and on the event loop only where that is short."""

import time
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from gateway.runtime import INLINE_LIMIT_US, ProcessorWatchdog, Runner, Watchdog, may_loop
from registry.datatypes import Datatype
from registry.errors import Rejected
from registry.manifest import SampleTensor
from registry.session import BFloat16Session, RunOptions, open_session, read_signature
from tests.builders import identity_model, linear_model, looping_model, make_model

DEADLINE_S = 0.5


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(DEADLINE_S)
    yield watchdog
    watchdog.close()


def make_runner(
    artifact: bytes,
    watchdog: Watchdog,
    sample: tuple[SampleTensor, ...] = (),
) -> Runner:
    return Runner(
        model="m",
        version=1,
        artifact=artifact,
        signature=read_signature(open_session(artifact)),
        watchdog=watchdog,
        sample=sample,
    )


def picky_model() -> bytes:
    """Shape `x` [6] as `shape` [2] says; no made-up shape has six elements."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    inputs = [("x", "FP32", (6,)), ("shape", "INT64", (2,))]
    return make_model([node], inputs, [("y", "FP32", ("n", "m"))])


def test_a_model_that_accepts_no_made_up_input_is_never_short(
    watchdog: Watchdog,
) -> None:
    runner = make_runner(picky_model(), watchdog)
    tensors = {"x": np.arange(6, dtype=np.float32), "shape": np.array([2, 3])}

    [answer] = runner.compute(tensors, 6)

    assert answer.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not runner.is_short(1)
    assert not runner.is_batchable


def test_a_model_is_warmed_with_the_sample_of_its_publisher(
    watchdog: Watchdog,
) -> None:
    sample = (
        SampleTensor(name="x", shape=(6,), datatype=Datatype.FP32, data=(0,) * 6),
        SampleTensor(name="shape", shape=(2,), datatype=Datatype.INT64, data=(3, 2)),
    )
    runner = make_runner(picky_model(), watchdog, sample)

    assert runner.predicted_us(6) > 0
    assert runner.is_short(6)


def test_inputs_that_may_differ_in_rows_are_not_batched(
    watchdog: Watchdog,
) -> None:
    def artifact(rows_of_b: str) -> bytes:
        nodes = [helper.make_node("Neg", [name], [f"{name}_out"]) for name in "ab"]
        sides = [("a", "FP32", ("n", 1)), ("b", "FP32", (rows_of_b, 1))]
        outputs = [(f"{name}_out", kind, shape) for name, kind, shape in sides]
        return make_model(nodes, sides, outputs)

    assert make_runner(artifact("n"), watchdog).is_batchable
    assert not make_runner(artifact("m"), watchdog).is_batchable


def test_a_run_answers_with_all_outputs(watchdog: Watchdog) -> None:
    runner = make_runner(linear_model(2.0), watchdog)
    tensors = {"x": np.ones((2, 3), np.float32)}

    [values] = runner.compute(tensors, 2)

    assert values.tolist() == [[6.0], [6.0]]


def test_a_long_run_is_ended_at_its_deadline(watchdog: Watchdog) -> None:
    endless = make_runner(looping_model(), watchdog)

    with pytest.raises(RunTimeout):
        endless.compute({"n": np.array([1 << 62])}, 1)


def test_a_run_that_others_hold_up_is_ended_by_its_processor_time_alone() -> None:
    watchdog, options = ProcessorWatchdog(0.05), RunOptions()
    watchdog.begin(options)
    time.sleep(0.3)
    assert not options.terminate

    used_s = time.thread_time()
    while not options.terminate:
        assert time.thread_time() - used_s < 10
    assert time.thread_time() - used_s > 0.04
    watchdog.end(options)
    watchdog.close()


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


BF16_VALUES = np.array([[1.5, -2], [3, 4]], ml_dtypes.bfloat16)


def test_bf16_goes_in_and_out_beside_other_datatypes(watchdog: Watchdog) -> None:
    nodes = [
        helper.make_node("Identity", ["a"], ["A"]),
        helper.make_node("Identity", ["c"], ["C"]),
        helper.make_node("Cast", ["a"], ["D"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["S"], value_strings=["é", ""]),
    ]
    inputs = [("a", "BF16", ("n", 2)), ("c", "INT64", ("n",))]
    outputs = [("A", "BF16", ("n", 2)), ("C", "INT64", ("n",)), ("D", "FP32", ("n", 2))]
    runner = make_runner(make_model(nodes, inputs, [*outputs, ("S", "BYTES", (2,))]), watchdog)

    a, c, d, s = runner.compute({"a": BF16_VALUES[:, ::-1], "c": np.array([1, 2])}, 2)

    assert (a.dtype, a.tolist()) == (BF16_VALUES.dtype, [[-2, 1.5], [4, 3]])
    assert (d.dtype, d.tolist()) == (np.float32, [[-2, 1.5], [4, 3]])
    assert (c.tolist(), s.tolist()) == ([1, 2], ["é", ""])


def test_bf16_goes_in_beside_texts(watchdog: Watchdog) -> None:
    nodes = [
        helper.make_node("Cast", ["a"], ["A"], to=TensorProto.FLOAT),
        helper.make_node("Identity", ["b"], ["B"]),
    ]
    inputs = [("a", "BF16", ("n", 2)), ("b", "BYTES", ("n",))]
    outputs = [("A", "FP32", ("n", 2)), ("B", "BYTES", ("n",))]
    runner = make_runner(make_model(nodes, inputs, outputs), watchdog)

    a, b = runner.compute({"a": BF16_VALUES, "b": np.array(["x", "é"], object)}, 2)

    assert (a.tolist(), b.tolist()) == (BF16_VALUES.tolist(), ["x", "é"])


def test_bf16_out_beside_texts_in_is_refused_with_a_remedy() -> None:
    nodes = [
        helper.make_node("Identity", ["a"], ["A"]),
        helper.make_node("Identity", ["b"], ["B"]),
    ]
    inputs = [("a", "BF16", ("n",)), ("b", "BYTES", ("n",))]
    artifact = make_model(nodes, inputs, [("A", "BF16", ("n",)), ("B", "BYTES", ("n",))])

    with pytest.raises(Rejected, match="cast to FP32") as refusal:
        open_session(artifact)
    assert refusal.value.check == "signature"


def test_a_session_with_bf16_ends_when_it_is_told_to() -> None:
    session = BFloat16Session(open_session(looping_model()))
    options = RunOptions()
    options.terminate = True

    assert session.run(None, {"n": np.array([3], np.int64)})[0].tolist() == [3]
    with pytest.raises(Exception, match="terminate"):
        session.run(None, {"n": np.array([3], np.int64)}, options)


def test_a_model_that_runs_on_no_second_row_is_served_all_the_same(
    watchdog: Watchdog,
) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    constants = {"shape": np.array([1], np.int64)}
    artifact = make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", (1,))], constants)

    runner = make_runner(artifact, watchdog)
    answer = runner.compute({"x": np.ones(1, np.float32)}, 1)

    assert answer[0].tolist() == [1.0]
    assert not runner.is_batchable
