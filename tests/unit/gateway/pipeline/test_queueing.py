"""Runs that wait for a thread, and batches that turn out long."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from gateway.batching import join
from gateway.cases import Answer, Denial
from gateway.errors import QueueTooLong
from gateway.protocol.messages import InferRequest
from registry.records import Outcome
from registry.tensors import Tensor
from tests.unit.gateway.pipeline.bench import Bench, turns


def count_to(number: int, **parameters: int) -> bytes:
    """Ask the model `looping`, which has the only thread for as long as it counts."""
    tensor = {"name": "n", "shape": [1], "datatype": "INT64", "data": [number]}
    return msgspec.json.encode({"inputs": [tensor], "parameters": parameters})


ENDLESS = 2**60  # counted to until the deadline of a run, 0.2 s


async def hold_the_thread(bench: Bench) -> asyncio.Task[Answer | Denial]:
    """Start a run that has the only thread when this returns."""
    held = bench.infer(count_to(ENDLESS), model="looping")
    while bench.long_runs._free:
        await asyncio.sleep(0)
    return held


def test_a_long_run_is_counted_with_its_wait(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        held = await hold_the_thread(bench)
        second = bench.infer(count_to(1000), model="looping")
        while not bench.long_runs._queue:
            await asyncio.sleep(0)
        queued_ns = seen_waiting_ns = time.monotonic_ns()
        while bench.long_runs._queue:
            await asyncio.sleep(0)
            now_ns = time.monotonic_ns()
            if bench.long_runs._queue:
                seen_waiting_ns = now_ns
        await asyncio.gather(held, second)

        counts = bench.counts()["looping", 1, "champion"]
        assert (sum(counts.runs.counts), counts.requests) == (1, 1)  # the other met its deadline
        assert counts.queue.total >= seen_waiting_ns - queued_ns > 0
        assert counts.run_ns[0] > 0

    play(scenario)


def test_the_most_urgent_run_is_started_first(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        order: list[str] = []

        async def ask(name: str, body: bytes) -> None:
            await bench.infer(body, model="looping")
            order.append(name)

        held = await hold_the_thread(bench)
        wishes = {"first": {}, "second": {"priority": 2}, "third": {}, "urgent": {"priority": 1}}
        await asyncio.gather(*(ask(name, count_to(3, **own)) for name, own in wishes.items()))
        await held

        assert order == ["urgent", "second", "first", "third"]

    play(scenario, in_flight_limit=5)


def test_a_run_whose_caller_has_given_up_is_not_started(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        held = await hold_the_thread(bench)
        late = await bench.infer(count_to(ENDLESS, timeout=1000), model="looping")
        before = await held

        assert [before.refusal.code, late.refusal.code] == ["model-timeout", "too-late"]
        assert bench.trail.record(late.record_id).record.outcome is Outcome.REFUSED

    play(scenario)


def test_a_run_that_would_wait_too_long_is_refused_at_once(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        runner = bench.roster.models["looping"].champion.runner
        runner._fixed_us = 0.6e6  # as if it took that long when it was warmed
        calls = [bench.infer(count_to(ENDLESS), model="looping") for _ in range(4)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)

        [refused] = done
        assert len(waiting) == 3  # one runs, and two wait for 0.6 and 1.2 s
        assert refused.result().refusal.code == "overloaded"
        await asyncio.gather(*waiting)
        ids = [record.id for record in bench.records()]
        assert len(ids) == len(set(ids)) == 4  # and each call has one record
        assert bench.pipeline._in_flight == 0

    play(scenario, in_flight_limit=4)


def test_a_run_that_would_wait_too_long_is_refused_before_it_is_read(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.roster.models["looping"].champion.runner._fixed_us = 1.1e6
        held = await hold_the_thread(bench)
        waiting = [bench.infer(count_to(3), model="looping") for _ in range(2)]
        await turns()

        with pytest.raises(QueueTooLong, match=r"longer than 1\.1 s"):
            await bench.infer(b"{", model="looping")
        answer = await bench.infer()  # short runs do not queue behind long ones

        assert isinstance(answer, Answer)
        assert bench.counts()["", None, ""].errors == {"overloaded": 1}
        await asyncio.gather(held, *waiting)

    play(scenario, in_flight_limit=4)


def test_a_run_that_did_wait_too_long_is_refused_instead_of_started(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.long_runs._longest_wait_s = 0.05
        held = await hold_the_thread(bench)
        waited = await bench.infer(count_to(3), model="looping")

        assert waited.refusal.code == "overloaded"
        assert bench.trail.record(waited.record_id).record.outcome is Outcome.FAILED
        await held

    play(scenario)


def test_a_turn_that_is_full_answers_its_first_batch_and_refuses_the_rest(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        first, second = await asyncio.gather(bench.infer(), bench.infer(model="guarded"))

        assert isinstance(first, Answer)
        assert second.refusal.code == "overloaded"

    play(scenario, longest_turn_s=0)


def test_a_fault_of_a_whole_batch_leaves_none_of_its_callers_waiting(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(requests: object) -> None:
        raise MemoryError

    monkeypatch.setattr("gateway.pipeline.join", fail)

    async def scenario(bench: Bench) -> None:
        denials = await asyncio.gather(bench.infer(), bench.infer())

        assert [denial.refusal.code for denial in denials] == ["internal-error"] * 2
        assert {record.outcome for record in bench.records()} == {Outcome.FAILED}

    play(scenario)


def test_a_batch_that_turns_out_long_leaves_none_of_its_callers_waiting(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: Bench) -> None:
        served, _ = bench.roster.choose("linear", None)

        def join_late(requests: Sequence[InferRequest]) -> Mapping[str, Tensor]:
            served.runner._excess_us = 10_000.0  # as a run in a thread may find just now
            return join(requests)

        monkeypatch.setattr("gateway.pipeline.join", join_late)
        async with asyncio.timeout(5):
            answers = await asyncio.gather(bench.infer(), bench.infer())

        assert all(isinstance(answer, Answer) for answer in answers)

    play(scenario)
