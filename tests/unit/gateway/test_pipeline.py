import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from gateway.errors import Overloaded, Unauthenticated
from gateway.journal import Journal
from gateway.metrics import Metrics, SeriesCounts
from gateway.pipeline import Answer, Call, Denial, Pipeline
from gateway.security import Role
from registry.audit.query import AuditTrail
from registry.console import open_registry
from registry.entry import Entry, commit
from registry.errors import JournalBroken, JournalUnavailable
from registry.records import AuditRecord, Outcome, RecordFilter
from registry.registry import Registry
from registry.tensors import decode_tensors
from tests.builders import add_key, infer_body, linear_model, looping_model, publish
from tests.unit.gateway.serving import make_loader

FINE = msgspec.json.encode(infer_body([[1, 2, 3]]))


class HeldJournal(Journal):
    """A journal that makes nothing durable before it may, or fails instead."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.may_commit = asyncio.Event()
        self.fault: Exception | None = None

    async def append(self, entry: Entry) -> None:
        await self.may_commit.wait()
        if self.fault is not None:
            raise self.fault
        await super().append(entry)


class Bench:
    """A pipeline over a real journal and roster, with the means to look at both."""

    def __init__(
        self,
        registry: Registry,
        journal: HeldJournal,
        pipeline: Pipeline,
        metrics: Metrics,
        directory: Path,
    ):
        self.journal = journal
        self.metrics = metrics
        self.pipeline = pipeline
        self.trail = AuditTrail(registry.store, directory)
        self.token = add_key(registry, Role.INVOKER)
        self.viewer = add_key(registry, Role.VIEWER)

    def infer(
        self, body: bytes = FINE, model: str = "linear", token: str | None = None
    ) -> asyncio.Task[Answer | Denial]:
        call = Call(
            model=model,
            version=None,
            body=body,
            authorization=f"Bearer {token or self.token}",
            source="127.0.0.1",
        )
        return asyncio.create_task(self.pipeline.infer(call))

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
    yield registry
    registry.store.close()


@pytest.fixture
def play(served: Registry, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario with two places, a journal of its own, and that journal open."""

    async def run(scenario: Scenario, *, is_open: bool) -> None:
        with make_loader(served, deadline_s=0.2) as loader:
            journal = HeldJournal(tmp_path, on_broken=lambda _: None)
            metrics = Metrics()
            pipeline = Pipeline(
                roster=lambda: loader.roster, journal=journal, metrics=metrics, in_flight_limit=2
            )
            bench = Bench(served, journal, pipeline, metrics, tmp_path)
            await loader.load()
            if is_open:
                journal.may_commit.set()
            try:
                await scenario(bench)
            finally:
                await journal.close()

    return lambda scenario, is_open=True: asyncio.run(run(scenario, is_open=is_open))


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


@pytest.mark.parametrize(("limit", "has_input"), [(50, True), (10, False)])
def test_what_no_record_can_keep_is_refused(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, limit: int, has_input: bool
) -> None:
    monkeypatch.setattr("gateway.pipeline.PAYLOAD_BYTES", limit)

    async def scenario(bench: Bench) -> None:
        denial = await bench.infer()

        assert isinstance(denial, Denial)
        assert denial.refusal.code == "record-too-large"
        [record] = bench.records()
        assert (record.input is not None, record.output) == (has_input, None)

    play(scenario)


def test_answers_and_errors_are_counted_where_they_belong(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.infer()
        await bench.infer()
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
        assert (sum(served.latency.counts), served.rows, sum(served.runs.counts)) == (2, 2, 2)
        assert served.latency.total >= served.compute.total > 0
        assert served.errors == {"malformed-json": 1}
        assert unmet.errors == {"not-found": 2, "unauthenticated": 1, "journal-unavailable": 1}

    play(scenario)


def test_the_calls_under_way_are_a_gauge(play: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        call = bench.infer()
        await turns()
        gauges = bench.metrics.snapshot().vitals.gauges
        assert (gauges["in_flight"], gauges["in_flight_limit"]) == (1, 2)
        bench.journal.may_commit.set()
        await call
        assert bench.metrics.snapshot().vitals.gauges["in_flight"] == 0

    play(scenario, is_open=False)
