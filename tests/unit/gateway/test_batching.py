"""Requests of one loop turn run together, and each gets what it would have got alone."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from gateway.batching import Batcher, Run
from gateway.errors import GatewayError
from gateway.runtime import Runner, Watchdog
from registry.session import open_session, read_signature
from registry.tensors import Tensor
from tests.builders import identity_model, linear_model, make_model, two_input_model


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[Watchdog, ThreadPoolExecutor]]:
    watchdog = Watchdog(5.0)
    with ThreadPoolExecutor(1) as executor:
        yield watchdog, executor
    watchdog.close()


def make_runner(artifact: bytes, parts: tuple[Watchdog, ThreadPoolExecutor]) -> Runner:
    signature = read_signature(open_session(artifact))
    return Runner(
        model="m", version=1, artifact=artifact, signature=signature,
        watchdog=parts[0], executor=parts[1],
    )  # fmt: skip


def ask_together(runner: Runner, inputs: list[dict[str, Tensor]]) -> list[Run | BaseException]:
    async def ask() -> list[Run | BaseException]:
        batcher = Batcher(runner)
        calls = (batcher.run(one, len(next(iter(one.values()))), None) for one in inputs)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(ask())


def mean_model() -> bytes:
    """Subtract the mean of the whole batch: a row's answer depends on the others."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("n", 3))])


def table_model() -> bytes:
    """Look indices up in a table of three; any other index fails the whole run."""
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    table = {"table": np.arange(3, dtype=np.float32)}
    return make_model([node], [("i", "INT64", ("n",))], [("y", "FP32", ("n",))], table)


def total_model() -> bytes:
    """Answer with one number for all rows."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    return make_model([node], [("x", "FP32", ("n", 3))], [("y", "FP32", ())])


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (linear_model(), True),
        (two_input_model(), True),
        (table_model(), True),
        (mean_model(), False),
        (total_model(), False),
        (identity_model("FP32", ("n", "m")), False),
        (identity_model("FP32", (1, 3)), False),
        (identity_model("FP32", ()), False),
    ],
)
def test_only_versions_whose_rows_are_independent_are_batched(
    artifact: bytes, expected: bool, parts: tuple[Watchdog, ThreadPoolExecutor]
) -> None:
    assert make_runner(artifact, parts).is_batchable is expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_each_request_gets_its_own_rows(
    parts: tuple[Watchdog, ThreadPoolExecutor], sizes: list[int], seed: int
) -> None:
    runner = make_runner(linear_model(), parts)
    random = np.random.default_rng(seed)
    inputs = [{"x": random.normal(size=(size, 3)).astype(np.float32)} for size in sizes]

    runs = ask_together(runner, inputs)

    for one, run in zip(inputs, runs, strict=True):
        assert isinstance(run, Run)
        [alone] = runner.compute(one, len(one["x"]))
        assert run.outputs["y"].tobytes() == alone.tobytes()
        assert run.batch >= run.batch_row + len(one["x"])


def test_requests_of_one_turn_are_one_run(parts: tuple[Watchdog, ThreadPoolExecutor]) -> None:
    runner = make_runner(linear_model(), parts)

    runs = ask_together(runner, [{"x": np.ones((2, 3), np.float32)}] * 3)

    assert [(run.batch, run.batch_row) for run in runs if isinstance(run, Run)] == [
        (6, 0),
        (6, 2),
        (6, 4),
    ]


def test_a_bad_request_spoils_no_other(parts: tuple[Watchdog, ThreadPoolExecutor]) -> None:
    runner = make_runner(table_model(), parts)

    runs = ask_together(runner, [{"i": np.array([index])} for index in (1, 99, 2)])

    assert isinstance(runs[1], GatewayError)
    answers = [run.outputs["y"].tolist() for run in runs if isinstance(run, Run)]
    assert answers == [[1.0], [2.0]]


def test_a_batch_never_grows_beyond_what_stays_short(
    parts: tuple[Watchdog, ThreadPoolExecutor],
) -> None:
    runner = make_runner(linear_model(), parts)
    runner._row_us, runner._fixed_us = 30.0, 0.0

    runs = ask_together(runner, [{"x": np.ones((1, 3), np.float32)}] * 7)

    assert max(run.batch for run in runs if isinstance(run, Run)) <= 3


def test_a_caller_that_leaves_takes_nothing_from_the_others(
    parts: tuple[Watchdog, ThreadPoolExecutor],
) -> None:
    runner = make_runner(linear_model(), parts)

    async def leave() -> Run:
        batcher = Batcher(runner)
        tensors = {"x": np.ones((1, 3), np.float32)}
        gone = asyncio.create_task(batcher.run(tensors, 1, None))
        stays = asyncio.create_task(batcher.run(tensors, 1, ("y",)))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(leave()).outputs["y"].tolist() == [[3.0]]


def dropping_model() -> bytes:
    """Answer the rows of `x` whose least value is above -1,000 and leave the others out."""
    nodes = [
        helper.make_node("ReduceMin", ["x", "last"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "bound"], ["kept"]),
        helper.make_node("Compress", ["x", "kept"], ["y"], axis=0),
    ]
    constants = {"last": np.array([1]), "bound": np.array([-1000], np.float32)}
    return make_model(nodes, [("x", "FP32", ("n", 3))], [("y", "FP32", ("k", 3))], constants)


def test_a_row_that_is_dropped_shifts_no_answer_to_another_caller(
    parts: tuple[Watchdog, ThreadPoolExecutor],
) -> None:
    runner = make_runner(dropping_model(), parts)
    assert runner.is_batchable  # nothing is dropped of the rows it is tested with
    rows = [np.full((1, 3), value, np.float32) for value in (1, -5000, 3)]

    answers = ask_together(runner, [{"x": row} for row in rows])

    outputs = [answer.outputs["y"].tolist() for answer in answers if isinstance(answer, Run)]
    assert outputs == [[[1, 1, 1]], [], [[3, 3, 3]]]


def test_an_unforeseen_fault_leaves_nobody_waiting(
    parts: tuple[Watchdog, ThreadPoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(identity_model(), parts)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(runner, "compute", fail)
    answers = ask_together(runner, [{"x": np.zeros((1, 3), np.float32)}] * 2)

    assert [type(answer) for answer in answers] == [MemoryError, MemoryError]
