"""Requests of one loop turn run together, and each gets what it would have got alone."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from gateway.batching import Run, join, run_batch, split_turn
from gateway.errors import GatewayError
from gateway.protocol.messages import InferRequest
from gateway.runtime import INLINE_LIMIT_US, Runner, Watchdog
from loadtests.model import train
from registry.session import open_session, read_signature
from registry.tensors import Tensor
from tests.builders import identity_model, linear_model, make_model, two_input_model


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(5.0)
    yield watchdog
    watchdog.close()


def make_runner(artifact: bytes, watchdog: Watchdog) -> Runner:
    signature = read_signature(open_session(artifact))
    return Runner(model="m", version=1, artifact=artifact, signature=signature, watchdog=watchdog)


def ask_together(runner: Runner, inputs: list[dict[str, Tensor]]) -> list[Run | Exception]:
    """Answer the requests of one turn."""
    requests = [
        InferRequest(
            id=None,
            parameters={},
            tensors=one,
            outputs=(),
            rows=len(next(iter(one.values()))),
        )
        for one in inputs
    ]
    runs: list[Run | Exception] = []
    for batch in split_turn([request.rows for request in requests], runner):
        runs += run_batch(runner, requests[batch], join(requests[batch])).runs
    return runs


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
    artifact: bytes, expected: bool, watchdog: Watchdog
) -> None:
    assert make_runner(artifact, watchdog).is_batchable is expected


def test_a_row_has_the_same_bits_alone_and_in_company(watchdog: Watchdog) -> None:
    trained = train()  # whose library computes a single row by another routine
    runner = make_runner(trained.artifact, watchdog)
    assert runner.is_batchable
    rows = [{"X": trained.rows[place : place + 1]} for place in range(60)]

    alone = [answer for row in rows for answer in ask_together(runner, [row])]

    for together in (2, 3, 7, 60):
        for start in range(0, 60 - together + 1, together):
            answers = ask_together(runner, rows[start : start + together])
            for one, other in zip(alone[start:], answers, strict=False):
                assert isinstance(one, Run)
                assert isinstance(other, Run)
                assert [v.tobytes() for v in one.values] == [v.tobytes() for v in other.values]
    assert all(isinstance(one, Run) and (one.batch, one.batch_row) == (2, 0) for one in alone)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_each_request_gets_its_own_rows(watchdog: Watchdog, sizes: list[int], seed: int) -> None:
    runner = make_runner(linear_model(), watchdog)
    random = np.random.default_rng(seed)
    inputs = [{"x": random.normal(size=(size, 3)).astype(np.float32)} for size in sizes]

    runs = ask_together(runner, inputs)

    for one, run in zip(inputs, runs, strict=True):
        assert isinstance(run, Run)
        [alone] = runner.compute(one, len(one["x"]))
        assert run.values[0].tobytes() == alone.tobytes()
        assert run.batch >= run.batch_row + len(one["x"])


def test_requests_of_one_turn_are_one_run(watchdog: Watchdog) -> None:
    runner = make_runner(linear_model(), watchdog)

    runs = ask_together(runner, [{"x": np.ones((2, 3), np.float32)}] * 3)

    assert [(run.batch, run.batch_row) for run in runs if isinstance(run, Run)] == [
        (6, 0),
        (6, 2),
        (6, 4),
    ]


def test_a_bad_request_spoils_no_other(watchdog: Watchdog) -> None:
    runner = make_runner(table_model(), watchdog)

    runs = ask_together(runner, [{"i": np.array([index])} for index in (1, 99, 2)])

    assert isinstance(runs[1], GatewayError)
    answers = [run.values[0].tolist() for run in runs if isinstance(run, Run)]
    assert answers == [[1.0], [2.0]]


def test_a_batch_never_grows_beyond_what_stays_short(
    watchdog: Watchdog,
) -> None:
    runner = make_runner(linear_model(), watchdog)
    runner._row_us, runner._fixed_us = 0.3 * INLINE_LIMIT_US, 0.0

    runs = ask_together(runner, [{"x": np.ones((1, 3), np.float32)}] * 7)

    assert max(run.batch for run in runs if isinstance(run, Run)) <= 3


def test_every_request_of_a_turn_is_in_one_batch(watchdog: Watchdog) -> None:
    runner = make_runner(linear_model(), watchdog)
    runner._row_us, runner._fixed_us = 0.3 * INLINE_LIMIT_US, 0.0
    rows = [1, 1, 2, 9, 1, 1, 1, 1]

    batches = [rows[batch] for batch in split_turn(rows, runner)]

    assert batches == [[1, 1], [2], [9], [1, 1, 1], [1]]


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
    watchdog: Watchdog,
) -> None:
    runner = make_runner(dropping_model(), watchdog)
    assert runner.is_batchable  # nothing is dropped of the rows it is tested with
    rows = [np.full((1, 3), value, np.float32) for value in (1, -5000, 3)]

    answers = ask_together(runner, [{"x": row} for row in rows])

    outputs = [answer.values[0].tolist() for answer in answers if isinstance(answer, Run)]
    assert outputs == [[[1, 1, 1]], [], [[3, 3, 3]]]


def test_an_unforeseen_fault_leaves_nobody_waiting(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(identity_model(), watchdog)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(runner, "compute", fail)
    answers = ask_together(runner, [{"x": np.zeros((1, 3), np.float32)}] * 2)

    assert [type(answer) for answer in answers] == [MemoryError, MemoryError]
