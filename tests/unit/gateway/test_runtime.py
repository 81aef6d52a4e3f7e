import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from onnx import helper

from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from gateway.runtime import INLINE_LIMIT_US, Runner, Watchdog, may_loop
from tests.builders import (
    identity_model,
    linear_model,
    looping_model,
    make_model,
    two_input_model,
)
from tests.unit.gateway.serving import make_runner

FOREVER = {"n": np.array([2**60])}
ROW = {"x": np.ones((1, 3), np.float32)}


class CountingExecutor(ThreadPoolExecutor):
    """Threads that count what they were given."""

    submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def executor() -> Iterator[CountingExecutor]:
    with CountingExecutor(2) as executor:
        yield executor


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(0.2)
    yield watchdog
    watchdog.close()


@pytest.fixture
def make(watchdog: Watchdog, executor: CountingExecutor) -> Callable[[bytes], Runner]:
    return lambda artifact: make_runner(artifact, watchdog, executor)


def heavy_model() -> bytes:
    """Multiply `x` [n, 512] six times with a square table: far above the limit with 64 rows."""
    names = ["x", "a", "b", "c", "d", "e", "y"]
    nodes = [
        helper.make_node("MatMul", [given, "w"], [result]) for given, result in pairwise(names)
    ]
    table = {"w": np.eye(512, dtype=np.float32)}
    return make_model(nodes, [("x", "FP32", ("n", 512))], [("y", "FP32", ("n", 512))], table)


def test_a_short_run_stays_on_the_loop(
    make: Callable[[bytes], Runner], executor: CountingExecutor
) -> None:
    runner = make(identity_model())
    assert runner.predicted_us(1) < INLINE_LIMIT_US

    outputs = asyncio.run(runner.run(ROW, 1, None))

    np.testing.assert_array_equal(outputs["y"], ROW["x"])
    assert executor.submitted == 0


def test_a_run_predicted_to_be_long_goes_to_a_thread(
    make: Callable[[bytes], Runner], executor: CountingExecutor
) -> None:
    runner = make(heavy_model())
    rows = np.ones((64, 512), np.float32)
    assert runner.predicted_us(64) > INLINE_LIMIT_US

    outputs = asyncio.run(runner.run({"x": rows}, 64, None))

    np.testing.assert_array_equal(outputs["y"], rows)
    assert executor.submitted == 1


def test_a_model_that_may_loop_never_runs_on_the_loop(
    make: Callable[[bytes], Runner], executor: CountingExecutor
) -> None:
    runner = make(looping_model())

    outputs = asyncio.run(runner.run({"n": np.array([7])}, 1, None))

    assert outputs["y"].tolist() == [7]
    assert executor.submitted == 1


def test_only_operators_that_loop_are_suspected() -> None:
    assert may_loop(looping_model())
    assert not may_loop(linear_model())


def test_the_prediction_learns_from_runs(make: Callable[[bytes], Runner]) -> None:
    runner = make(linear_model())
    before = runner.predicted_us(1)

    asyncio.run(runner.run({"x": np.ones((1_000_000, 3), np.float32)}, 1, None))

    assert runner.predicted_us(1) > before


def test_only_outputs_asked_for_are_computed(make: Callable[[bytes], Runner]) -> None:
    runner = make(two_input_model())
    tensors = {"distance": np.ones((1, 1), np.float32), "carrier": np.array([["AA"]], object)}

    outputs = asyncio.run(runner.run(tensors, 1, ["c"]))

    assert {name: values.tolist() for name, values in outputs.items()} == {"c": [["AA"]]}


def test_the_deadline_ends_a_loop_and_the_next_run_is_free_of_it(
    make: Callable[[bytes], Runner],
) -> None:
    runner = make(looping_model())

    with pytest.raises(RunTimeout, match=r"longer than 0\.2 s"):
        asyncio.run(runner.run(FOREVER, 1, None))

    assert asyncio.run(runner.run({"n": np.array([3])}, 1, None))["y"].tolist() == [3]


def test_a_long_run_does_not_hold_up_a_short_one(make: Callable[[bytes], Runner]) -> None:
    looping, short = make(looping_model()), make(identity_model())

    async def scenario() -> None:
        long_run = asyncio.create_task(looping.run(FOREVER, 1, None))
        for _ in range(10):
            await asyncio.sleep(0)
            await short.run(ROW, 1, None)
            assert not long_run.done()
        with pytest.raises(RunTimeout):
            await long_run

    asyncio.run(scenario())


def test_runs_of_one_version_do_not_mix(make: Callable[[bytes], Runner]) -> None:
    runner = make(looping_model())

    async def scenario() -> list[int]:
        runs = (runner.run({"n": np.array([n])}, 1, None) for n in range(200))
        return [int(outputs["y"][0]) for outputs in await asyncio.gather(*runs)]

    assert asyncio.run(scenario()) == list(range(200))


def test_an_input_the_model_refuses_is_the_callers_fault(make: Callable[[bytes], Runner]) -> None:
    table = {"table": np.zeros(3, np.float32)}
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    runner = make(make_model([node], [("i", "INT64", ("n",))], [("y", "FP32", ("n",))], table))

    with pytest.raises(InputNotAccepted):
        asyncio.run(runner.run({"i": np.array([9])}, 1, None))


def test_a_model_that_fails_is_the_models_fault(make: Callable[[bytes], Runner]) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = {"shape": np.array([1, 1])}
    runner = make(make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", (1, "k"))], shape))

    with pytest.raises(RunFailed) as caught:
        asyncio.run(runner.run({"x": np.zeros(2, np.float32)}, 2, None))

    # What onnxruntime says of it names files and nodes.
    assert str(caught.value) == "Version 1 of m failed on this input."


def test_the_watchdog_ends_its_thread() -> None:
    before = threading.active_count()

    Watchdog(0.2).close()

    assert threading.active_count() == before
