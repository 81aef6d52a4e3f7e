import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from gateway.cases import Answer, Denial
from gateway.contract.labels import MOST_LABEL_BYTES
from gateway.errors import Overloaded, Unauthenticated, Unforeseen
from gateway.protocol.compression import decompress
from gateway.protocol.json_envelope import MAX_ID_LENGTH
from registry import payload_policy
from registry.entry import MAX_LEAF, commit, encode_record
from registry.errors import JournalBroken, JournalUnavailable
from registry.records import AuditRecord, Kind, Outcome
from registry.session import runtime_id
from registry.tensors import decode_tensors, encode_tensors
from tests.builders import infer_body
from tests.unit.gateway.pipeline.bench import FINE, LONG_NAME, Bench, turns


def test_an_answer_has_a_durable_record_with_its_payload(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        answer = cast("Answer", await bench.infer())

        [record] = bench.records()
        payload = bench.trail.payload(answer.record_id)
        assert record.id == answer.record_id
        assert (record.outcome, record.model, record.version, record.rows) == (
            Outcome.ANSWERED, "linear", 1, 1,
        )  # fmt: skip
        assert record.input == commit(payload.salt, payload.input)
        assert record.output == commit(payload.salt, payload.output)
        assert decode_tensors(payload.output)["y"].tolist() == [[6]]

    play(scenario)


def test_nothing_is_answered_before_its_record_is_durable(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        calls = [bench.infer(), bench.infer(b"{")]
        await turns()
        assert not any(call.done() for call in calls)

        bench.journal.may_commit.set()
        answer, denial = await asyncio.gather(*calls)

        assert isinstance(answer, Answer)
        assert isinstance(denial, Denial)
        assert {record.id for record in bench.records()} == {answer.record_id, denial.record_id}

    play(scenario, is_open=False)


@pytest.mark.parametrize("fault", [JournalUnavailable("full"), JournalBroken("sync")])
@pytest.mark.parametrize("body", [FINE, b"{"])
def test_without_a_record_nothing_is_answered(
    play: Callable[..., None], fault: Exception, body: bytes
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.journal.fault = fault
        with pytest.raises(type(fault)):
            await bench.infer(body)
        assert bench.records() == []

        bench.journal.fault = None
        assert isinstance(await bench.infer(), Answer)

    play(scenario)


def test_calls_beyond_the_limit_are_refused_until_there_is_room(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        held = [bench.infer(), bench.infer()]
        await turns()
        with pytest.raises(Overloaded, match="All 2 places"):
            await bench.infer()

        bench.journal.may_commit.set()
        await asyncio.gather(*held)
        assert isinstance(await bench.infer(), Answer)
        assert len(bench.records()) == 3

    play(scenario, is_open=False)


def test_a_fault_gives_its_place_back(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.journal.fault = JournalUnavailable("full")
        for _ in range(5):
            with pytest.raises(JournalUnavailable):
                await bench.infer()
        bench.journal.fault = None
        assert isinstance(await bench.infer(), Answer)

    play(scenario)


def test_whoever_has_no_key_leaves_no_record(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(Unauthenticated):
            await bench.infer(token="gw_unknown")
        assert bench.records() == []

    play(scenario)


def test_a_denial_names_its_code_and_has_its_record(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        endless = msgspec.json.encode(
            {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [2**60]}]}
        )
        cases: list[tuple[dict[str, Any], str, Outcome]] = [
            ({"token": bench.viewer}, "forbidden", Outcome.REFUSED),
            ({"model": "none"}, "not-found", Outcome.REFUSED),
            ({"body": b""}, "empty-body", Outcome.REFUSED),
            ({"model": "looping", "body": endless}, "model-timeout", Outcome.FAILED),
        ]
        for call, code, outcome in cases:
            denial = await bench.infer(**call)
            assert isinstance(denial, Denial)
            record = bench.trail.record(denial.record_id).record
            assert (denial.refusal.code, record.error, record.outcome) == (code, code, outcome)
            assert record.output is None

    play(scenario)


def test_a_name_that_is_not_served_is_recorded_clipped(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.infer(model="x" * 8000)

        [record] = bench.records()
        assert record.model is None
        assert record.subject == "x" * 63 + "…"

    play(scenario)


def test_a_payload_over_the_limit_is_committed_to_and_not_kept(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        rows = [[1, 2, 3]] * 100
        answer = cast("Answer", await bench.infer(msgspec.json.encode(infer_body(rows))))

        [record] = bench.records()
        payload = bench.trail.payload(answer.record_id)
        assert (payload.input, payload.output) == (None, None)
        given = encode_tensors({"x": np.array(rows, np.float32)})
        assert record.input == commit(payload.salt, given)
        assert record.output is not None

    play(scenario)


def test_an_unforeseen_fault_is_recorded_and_is_nobody_elses(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(body: bytes, *rest: Any) -> Any:
        return decompress(body, *rest) if body == FINE else 1 // 0

    monkeypatch.setattr("gateway.pipeline.decompress", read)

    async def scenario(bench: Bench) -> None:
        denial, answer = await asyncio.gather(bench.infer(b"strange"), bench.infer())

        assert isinstance(denial, Denial)
        assert denial.refusal.code == "internal-error"
        assert isinstance(answer, Answer)
        outcomes = {record.id: record.outcome for record in bench.records()}
        assert outcomes == {
            denial.record_id: Outcome.FAILED,
            answer.record_id: Outcome.ANSWERED,
        }

    play(scenario)


def test_calls_of_one_turn_run_together_and_a_refused_one_is_left_out(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        bad = msgspec.json.encode(infer_body([[1, 2, 99]]))
        first, refused = await asyncio.gather(
            bench.infer(model="guarded"), bench.infer(bad, model="guarded")
        )

        assert isinstance(refused, Denial)
        assert refused.refusal.code == "range"
        assert isinstance(first, Answer)
        # It ran alone, beside a copy of itself.
        assert bench.trail.record(first.record_id).record.batch == 2

    play(scenario)


def test_a_row_beside_a_copy_of_itself_is_counted_as_one(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.infer()

        served = bench.counts()["linear", 1, "champion"]
        assert (served.runs.total, served.requests) == (1, 1)

    play(scenario)


def test_answers_and_errors_are_counted_where_they_belong(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        await asyncio.gather(bench.infer(), bench.infer())
        await bench.infer(b"{")
        for name in ("none", "other"):
            await bench.infer(model=name)
        with pytest.raises(Unauthenticated):
            await bench.infer(token="gw_unknown")
        bench.journal.fault = JournalUnavailable("full")
        with pytest.raises(JournalUnavailable):
            await bench.infer()

        counts = bench.counts()
        assert set(counts) == {("", None, ""), ("linear", 1, "champion")}
        served, unmet = counts["linear", 1, "champion"], counts["", None, ""]
        assert (sum(served.latency.counts), served.rows) == (2, 2)
        # Both came in one turn, so they ran together: one run, told once.
        assert (sum(served.runs.counts), served.runs.total, served.requests) == (1, 2, 2)
        assert served.latency.total >= served.compute.total + served.queue.total > 0
        assert served.errors == {"malformed-json": 1, "journal-unavailable": 1}
        assert unmet.errors == {"not-found": 2, "unauthenticated": 1}

    play(scenario)


def test_the_calls_under_way_are_a_gauge_and_those_beyond_are_counted(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        calls = [bench.infer(), bench.infer()]
        await turns()
        gauges = bench.metrics.snapshot().vitals.gauges
        assert (gauges["in_flight"], gauges["in_flight_limit"]) == (2, 2)
        with pytest.raises(Overloaded):
            await bench.infer()
        bench.journal.may_commit.set()
        await asyncio.gather(*calls)
        assert bench.metrics.snapshot().vitals.gauges["in_flight"] == 0
        assert bench.counts()["", None, ""].errors == {"overloaded": 1}

    play(scenario, is_open=False)


def test_all_that_a_record_may_name_fits_into_it_together() -> None:
    most = "x" * (MOST_LABEL_BYTES - 3)
    record = AuditRecord(
        id="01a20f94-bc2f-7e70-80fa-928be823b14d",
        kind=Kind.INFERENCE,
        time=str(2**63),
        outcome=Outcome.REFUSED,
        principal="key-0123456789ab",
        source="f" * 64,
        request_id="\x01" * MAX_ID_LENGTH,
        trace="0" * 32,
        model="m" * 128,
        digest="sha256:" + "0" * 64,
        manifest="sha256:" + "0" * 64,
        runtime=runtime_id(),
        input="0" * 64,
        output="0" * 64,
        subject_commitment="0" * 64,
        reduced=("x" * (payload_policy._MOST_REDUCED_BYTES - 4),),
        violations=(most,),
        flags=(most,),
        observed=(most,),
        repaired=(most,),
    )

    assert len(encode_record(record)) <= MAX_LEAF


def test_a_record_names_of_many_violations_what_there_is_room_for(
    play: Callable[..., None],
) -> None:
    async def scenario(bench: Bench) -> None:
        body = msgspec.json.encode(infer_body([[-1, -1, -1]] * 40, name=LONG_NAME))
        denial = cast("Denial", await bench.infer(body, "wordy"))

        assert len(denial.refusal.violations) == 100
        [record] = bench.records()
        assert record.violations == (f"range {LONG_NAME}[0,0]",)
        assert len(encode_record(record)) <= MAX_LEAF

    play(scenario)


def test_a_record_that_cannot_be_written_is_no_answer(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: Bench) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("gateway.case_records.encode_tensors", lambda tensors: 1 // 0)
            with pytest.raises(Unforeseen):
                await bench.infer()
        assert bench.records() == []
        assert isinstance(await bench.infer(), Answer)

    play(scenario, in_flight_limit=1)


def test_a_reply_that_fails_keeps_no_other_from_its_caller(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        def fail(result: object) -> None:
            raise ConnectionError

        bench.pipeline.submit(bench.call(), fail)
        assert isinstance(await bench.infer(), Answer)

    play(scenario)
