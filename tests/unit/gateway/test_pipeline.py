import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from gateway.batching import join
from gateway.cases import Answer, Call, Denial
from gateway.contract.labels import MOST_LABEL_BYTES
from gateway.errors import Overloaded, QueueTooLong, Unauthenticated, Unforeseen
from gateway.journal import Done, Journal
from gateway.loader import EMPTY_ROSTER
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics, SeriesCounts
from gateway.pipeline import Pipeline
from gateway.protocol.compression import decompress
from gateway.protocol.json_envelope import MAX_ID_LENGTH
from gateway.protocol.messages import InferRequest
from gateway.security import Role, read_credential
from registry import payload_policy
from registry.audit.query import AuditTrail
from registry.console import open_registry
from registry.entry import MAX_LEAF, Entry, commit, encode_record
from registry.errors import JournalBroken, JournalUnavailable
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.records import AuditRecord, Kind, Outcome, RecordFilter
from registry.registry import Registry
from registry.session import runtime_id
from registry.tensors import Tensor, decode_tensors, encode_tensors
from tests.builders import add_key, infer_body, linear_model, looping_model, publish
from tests.unit.gateway.serving import make_loader, make_pipeline

PAYLOAD_LIMIT = 1000
GUARDED = Draft(
    contract=Contract(
        rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, low=0, high=10),)
    )
)
LONG_NAME = "\x01" * 1000
WORDY = Draft(
    contract=Contract(
        rules=(Rule(input=LONG_NAME, kind=RuleKind.RANGE, action=Action.REJECT, low=0, high=10),)
    )
)
FINE = msgspec.json.encode(infer_body([[1, 2, 3]]))


class HeldJournal(Journal):
    """A journal that makes nothing durable before it may, or fails instead."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.may_commit = asyncio.Event()
        self._late: list[asyncio.Future[None]] = []
        self.fault: JournalUnavailable | JournalBroken | None = None

    def append(self, entry: Entry, done: Done) -> None:
        self._late.append(asyncio.ensure_future(self._append_late(entry, done)))

    async def _append_late(self, entry: Entry, done: Done) -> None:
        await self.may_commit.wait()
        if self.fault is None:
            super().append(entry, done)
        else:
            done(self.fault)


class Bench:
    """A pipeline over a real journal and roster, with the means to look at both."""

    def __init__(
        self,
        registry: Registry,
        journal: HeldJournal,
        pipeline: Pipeline,
        long_runs: LongRuns,
        metrics: Metrics,
        directory: Path,
    ):
        self.journal = journal
        self.metrics = metrics
        self.pipeline = pipeline
        self.long_runs = long_runs
        self.roster = EMPTY_ROSTER
        self.trail = AuditTrail(registry.store, directory)
        self.token = add_key(registry, Role.INVOKER)
        self.viewer = add_key(registry, Role.VIEWER)

    def call(self, body: bytes = FINE, model: str = "linear", token: str | None = None) -> Call:
        return Call(
            model=model,
            version=None,
            body=body,
            credential=read_credential(f"Bearer {token or self.token}"),
            source="127.0.0.1",
        )

    def infer(self, *args: Any, **kwargs: Any) -> asyncio.Task[Answer | Denial]:
        return asyncio.create_task(self.pipeline.infer(self.call(*args, **kwargs)))

    def counts(self) -> dict[tuple[str, int | None, str], SeriesCounts]:
        """Return the series of what was called, by model, version and lane."""
        return {(one.model, one.version, one.lane): one for one in self.metrics.counts().series}

    def records(self) -> list[AuditRecord]:
        return [found.record for found in self.trail.find(RecordFilter(kind="inference")).records]


Scenario = Callable[[Bench], Awaitable[None]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with the models `linear` and `looping`, which no test changes."""
    registry = open_registry(tmp_path_factory.mktemp("served"))
    publish(registry, "linear", linear_model())
    publish(registry, "looping", looping_model())
    publish(registry, "guarded", linear_model(), GUARDED)
    publish(registry, "wordy", linear_model(name=LONG_NAME), WORDY)
    yield registry
    registry.store.close()


@pytest.fixture
def play(served: Registry, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario with two places, a journal of its own, and that journal open."""

    async def run(
        scenario: Scenario,
        *,
        is_open: bool = True,
        in_flight_limit: int = 2,
        longest_turn_s: float = 1,
    ) -> None:
        with make_loader(served, deadline_s=0.2) as loader:
            journal = HeldJournal(tmp_path, on_broken=lambda _: None)
            long_runs = LongRuns(threads=1, longest_wait_s=1)
            metrics = Metrics()
            pipeline = make_pipeline(
                loader,
                journal,
                long_runs,
                metrics,
                in_flight_limit=in_flight_limit,
                payload_limit=PAYLOAD_LIMIT,
                longest_turn_s=longest_turn_s,
            )
            bench = Bench(served, journal, pipeline, long_runs, metrics, tmp_path)
            await loader.load()
            bench.roster = loader.roster
            if is_open:
                journal.may_commit.set()
            try:
                await scenario(bench)
            finally:
                await journal.close()
                long_runs.close()

    return lambda scenario, **options: asyncio.run(run(scenario, **options))


async def turns(count: int = 50) -> None:
    """Let everything happen that can happen now."""
    for _ in range(count):
        await asyncio.sleep(0)


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
