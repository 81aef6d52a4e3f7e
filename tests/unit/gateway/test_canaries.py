"""Challengers that answer some callers: who meets them, and what becomes of their faults."""

import asyncio
import gc
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from weakref import ref

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from onnx import helper

from gateway.canaries import MOST_FAULTS, Canaries, Column
from gateway.cases import Answer, Call, Denial
from gateway.journal import Journal
from gateway.loader import Loader
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics, SeriesCounts
from gateway.monitor.rows import MOST_ROWS
from gateway.observation import Observation
from gateway.pipeline import Pipeline
from gateway.rollout.bins import Bins
from gateway.rollout.evidence import Layout
from gateway.rollout.rates import read_rates
from gateway.rollout.scatter import BLOCK
from gateway.rollout.verdict import assess
from gateway.roster import Roster
from gateway.runtime import Runner
from gateway.security import Role, read_credential
from gateway.summaries import Summaries, SummaryFile
from registry import rolling_out
from registry.audit.query import AuditTrail
from registry.datatypes import Datatype
from registry.errors import StoreUnavailable
from registry.manifest import (
    Action,
    Contract,
    Draft,
    OutputRule,
    Rule,
    RuleKind,
    Signature,
    TensorSpec,
)
from registry.records import AuditRecord, Lane, Outcome
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Phase, Rollout
from registry.times import now
from tests.builders import (
    AUTHOR,
    add_key,
    identity_model,
    infer_body,
    linear_model,
    looping_model,
    make_model,
    publish,
)
from tests.rolled import SIGNATURE
from tests.rolling import ERRORS, caller_of, start_canary
from tests.unit.gateway.serving import make_loader, make_pipeline
from tests.unit.gateway.test_observation import REFERENCE, feature

RULE = {"kind": RuleKind.RANGE, "action": Action.REJECT, "low": 0, "high": 10}
REFUSES_LARGE = Draft(contract=Contract(rules=(Rule(input="x", **RULE),), refusal_cap=None))
# It flags the request before it withholds the answer.
WITHHOLDS_LARGE = Draft(
    contract=Contract(
        rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, high=0.5),),
        outputs=(OutputRule(input="y", **RULE),),
        refusal_cap=None,
    )
)
FINITE = Draft(
    contract=Contract(
        outputs=(OutputRule(input="y", kind=RuleKind.FINITE, action=Action.REJECT),),
        refusal_cap=None,
    )
)
OF_ONE_COLUMN = replace(REFERENCE, outputs=(replace(feature("y", 0), column=None),))
WAIT_S = 10


def summing_model() -> bytes:
    """Answer `x` [n] as `y` [], the sum."""
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)
    return _one_number(node)


def squeezing_model() -> bytes:
    """Answer `x` [1] as `y` []; fails for any other number of elements."""
    return _one_number(helper.make_node("Squeeze", ["x", "axes"], ["y"]))


def _one_number(node: Any) -> bytes:
    axes = {"axes": np.array([0], np.int64)}
    return make_model([node], [("x", "FP32", ("n",))], [("y", "FP32", ())], axes)


def picking_model(size: int) -> bytes:
    """Answer indices `i` [n] with elements of a table; others are not accepted."""
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    table = {"table": np.arange(size, dtype=np.float32)}
    return make_model([node], [("i", "INT64", ("n",))], [("y", "FP32", ("n",))], table)


def dividing_model(divisor: float) -> bytes:
    """Answer `x` [n, 3] divided by a number, which may be zero."""
    node = helper.make_node("Div", ["x", "by"], ["y"])
    by = {"by": np.array([divisor], np.float32)}
    return make_model([node], [("x", "FP32", ("n", 3))], [("y", "FP32", ("n", 3))], by)


class Trips:
    """Rolls back as a worker does, and keeps what it was asked; `faults` come first."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.asked: list[tuple[str, str]] = []
        self.faults: list[StoreUnavailable] = []

    def __call__(self, rollout_id: str, reason: str) -> None:
        self.asked.append((rollout_id, reason))
        if self.faults:
            raise self.faults.pop()
        rolling_out.trip(self.registry, rollout_id, reason, AUTHOR)


class Bench:
    """A pipeline over a real journal and roster, and what it tells."""

    canaries: Canaries

    def __init__(
        self, registry: Registry, loader: Loader, pipeline: Pipeline, metrics: Metrics,
        observation: Observation, folder: Path,
    ) -> None:  # fmt: skip
        self.registry = registry
        self.loader = loader
        self.pipeline = pipeline
        self.observation = observation
        self.metrics = metrics
        self._trail = AuditTrail(registry.store, folder)
        self._summaries = Summaries(folder / "summaries")
        self._credential = read_credential(f"Bearer {add_key(registry, Role.INVOKER)}")
        self._tester = read_credential(f"Bearer {add_key(registry, Role.INVOKER, Role.TESTER)}")

    async def ask(
        self, model: str, body: dict[str, Any], *, key: str | None = None, id: str | None = None,
        version: str | None = None, is_tester: bool = False,
    ) -> Answer | Denial:  # fmt: skip
        sent = dict(body)
        if key is not None:
            sent["parameters"] = {"routing_key": key}
        if id is not None:
            sent["id"] = id
        answer = await self.pipeline.infer(
            Call(
                model=model,
                version=version,
                body=msgspec.json.encode(sent),
                credential=self._tester if is_tester else self._credential,
                source="127.0.0.1",
            )
        )
        # Ids of one millisecond are in no order, so which record is the newest cannot be told.
        self._last = answer.record_id
        return answer

    async def told(self, model: str, body: dict[str, Any], **given: Any) -> tuple[str, str, Any]:
        """Ask, and return version, lane and data of the answer."""
        answer = await self.ask(model, body, **given)
        assert isinstance(answer, Answer), answer
        found = msgspec.json.decode(answer.encoded.body)
        return found["model_version"], found["parameters"]["lane"], found["outputs"][0]["data"]

    def record(self) -> AuditRecord:
        """Return the record of what was asked last."""
        return self._trail.record(self._last).record

    def series(self, model: str, version: int, lane: Lane) -> SeriesCounts:
        counts = {(one.model, one.version, one.lane): one for one in self.metrics.counts().series}
        return counts[model, version, lane]

    async def counted(self) -> dict[tuple[str, int, str], list[int]]:
        """Return what is written of values and evidence, by model, version and lane."""
        await self.observation.write()
        return {
            (lane.model, lane.version, lane.lane): list(array("q", lane.counts))
            for found in self._summaries.read()
            if found.counts is not None
            for lane in found.counts.lanes
        }


Scenario = Callable[[Bench], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def trips(registry: Registry) -> Trips:
    return Trips(registry)


@pytest.fixture
def play(registry: Registry, trips: Trips, tmp_path: Path) -> Play:
    """Run a scenario over what the registry holds; the values answered with are counted."""

    async def run(scenario: Scenario, *, longest_turn_s: float = 1) -> None:
        folder = tmp_path / "summaries"
        Summaries(folder).prepare()
        metrics, canaries = Metrics(), Canaries(trips)

        def forget(roster: Roster) -> None:
            canaries.keep_only(roster.canary_rollouts)

        with make_loader(registry, deadline_s=0.2, on_swap=forget) as loader:
            journal = Journal(tmp_path, on_broken=lambda _: None)
            long_runs = LongRuns(threads=1, longest_wait_s=1)
            observation = Observation(SummaryFile(folder), lambda: loader.roster, canaries.counts)
            pipeline = make_pipeline(
                loader,
                journal,
                long_runs,
                metrics,
                observation,
                canaries=canaries,
                longest_turn_s=longest_turn_s,
            )
            bench = Bench(registry, loader, pipeline, metrics, observation, tmp_path)
            bench.canaries = canaries
            await loader.load()
            try:
                await scenario(bench)
            finally:
                await journal.close()
                await canaries.close()
                await observation.close()
                long_runs.close()

    return lambda scenario, **options: asyncio.run(run(scenario, **options))


def publish_pair(
    registry: Registry, champion: bytes, challenger: bytes, draft: Draft | None = None
) -> Rollout:
    """Publish both as `m`, and give half of the callers to the challenger."""
    publish(registry, "m", champion)
    publish(registry, "m", challenger, draft, promote=False)
    return start_canary(registry, "m")


ROW = infer_body([[1.0, 2.0, 3.0]])


def vector(*values: float, name: str = "x", datatype: str = "FP32") -> dict[str, Any]:
    tensor = {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}
    return {"inputs": [tensor]}


def test_a_challenger_answers_the_callers_of_its_points_and_no_others(
    registry: Registry, play: Play
) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))

    async def scenario(bench: Bench) -> None:
        key = caller_of(rollout, is_canary=True)
        assert await bench.told("m", ROW, key=key) == ("2", "canary", [12])
        record = bench.record()
        assert (record.version, record.lane, record.rollout) == (2, Lane.CANARY, rollout.id)
        assert record.canary_error is None

        key = caller_of(rollout, is_canary=False)
        assert await bench.told("m", ROW, key=key) == ("1", "champion", [6])
        record = bench.record()
        assert (record.version, record.lane, record.rollout) == (1, Lane.CHAMPION, None)

        assert bench.series("m", 2, Lane.CANARY).rows == 1
        assert bench.series("m", 1, Lane.CHAMPION).rows == 1

    play(scenario)


def test_the_leaf_of_a_canary_is_that_of_its_record(registry: Registry, play: Play) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))

    async def scenario(bench: Bench) -> None:
        await bench.ask("m", ROW, key=caller_of(rollout, is_canary=True), id="mine")
        canary = bench.loader.roster.canaries["m"][0]
        assert len(canary.challenger.leaves._forms) == 1  # it was written by a form
        assert bench.record().rollout == rollout.id

    play(scenario)


def test_a_caller_is_known_by_routing_key_before_id_before_neither(
    registry: Registry, play: Play
) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))
    mine, others = (caller_of(rollout, is_canary=is_canary) for is_canary in (True, False))

    async def scenario(bench: Bench) -> None:
        for _ in range(5):
            assert (await bench.told("m", ROW, key=mine, id=others))[1] == "canary"
            assert (await bench.told("m", ROW, id=mine))[1] == "canary"
            assert (await bench.told("m", ROW, key=others, id=mine))[1] == "champion"
        lanes = {(await bench.told("m", ROW))[1] for _ in range(40)}
        assert lanes == {"canary", "champion"}

    play(scenario)


def test_who_names_a_version_gets_it_whatever_the_key(registry: Registry, play: Play) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))
    key = caller_of(rollout, is_canary=True)

    async def scenario(bench: Bench) -> None:
        assert (await bench.told("m", ROW, key=key, version="1"))[:2] == ("1", "pinned")

    play(scenario)


def test_only_a_tester_may_name_what_only_a_rollout_loads(registry: Registry, play: Play) -> None:
    publish_pair(registry, linear_model(), linear_model(2.0))

    async def scenario(bench: Bench) -> None:
        denial = await bench.ask("m", ROW, version="2")
        assert isinstance(denial, Denial)
        assert denial.refusal.code == "forbidden"
        assert "tester" in denial.refusal.detail
        assert (await bench.told("m", ROW, version="2", is_tester=True))[:2] == ("2", "pinned")

        registry.point_alias("m", "mine", 2, "so that all may", AUTHOR)
        await bench.loader.load()
        assert (await bench.told("m", ROW, version="2"))[:2] == ("2", "pinned")

    play(scenario)


FAULTS = {
    "model-failed": (summing_model(), squeezing_model(), Draft(), vector(1, 2)),
    "input-not-accepted": (
        picking_model(9), picking_model(3), Draft(), vector(5, name="i", datatype="INT64"),
    ),
    "model-timeout": (
        identity_model("INT64", (1,), name="n"), looping_model(), Draft(),
        vector(10**12, name="n", datatype="INT64"),
    ),
    "output-not-accepted": (
        linear_model(), linear_model(9.0), WITHHOLDS_LARGE, infer_body([[1.0, 1.0, 1.0]]),
    ),
    "output-not-accepted: not finite": (
        dividing_model(1.0), dividing_model(0.0), FINITE, infer_body([[1.0, 1.0, 1.0]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_champion_answers_in_place_of_a_challenger_that_fails(
    registry: Registry, play: Play, fault: str
) -> None:
    champion, challenger, draft, body = FAULTS[fault]
    rollout = publish_pair(registry, champion, challenger, draft)
    code = fault.partition(":")[0]

    async def scenario(bench: Bench) -> None:
        told = await bench.told("m", body, key=caller_of(rollout, is_canary=True))
        assert told == await bench.told("m", body, key=caller_of(rollout, is_canary=False))
        await bench.ask("m", body, key=caller_of(rollout, is_canary=True))
        record = bench.record()

        assert told[:2] == ("1", "champion")
        assert (record.outcome, record.error) == (Outcome.ANSWERED, None)
        assert (record.version, record.lane) == (1, Lane.CHAMPION)
        assert (record.rollout, record.canary_error) == (rollout.id, code)
        assert record.flags == ()  # what the challenger found is not the champion's answer
        assert bench.series("m", 2, Lane.CANARY).gave_way == {code: 2}
        assert sum(bench.series("m", 1, Lane.CHAMPION).latency.counts) == 3

    play(scenario)


def test_faults_and_refusals_count_against_the_challenger(registry: Registry, play: Play) -> None:
    publish(registry, "m", summing_model())
    publish(registry, "m", squeezing_model(), REFUSES_LARGE, promote=False)
    refusals = Guard(kind=GuardKind.REFUSALS, margin=2.0)
    rollout = start_canary(registry, "m", guards=(ERRORS, refusals))
    mine, others = (caller_of(rollout, is_canary=is_canary) for is_canary in (True, False))

    async def scenario(bench: Bench) -> None:
        for number in range(BLOCK):
            # Never so many faults in a row that they stop the challenger.
            body = (vector(1, 2), vector(99), vector(1))[number % 3]
            await bench.ask("m", body, key=mine)
            await bench.ask("m", body, key=others)
        evidence = (await bench.counted())["m", 2, rollout.evidence_lane(0)]

        layout = Layout.of(rollout.plan, 0, {})
        found = assess(rollout, layout, evidence, {}, now())
        assert [(one.challenger, one.champion) for one in found.judgements] == [(BLOCK, BLOCK)] * 2
        assert [one.events for one in found.judgements] == [(4, 0), (3, 0)]

    play(scenario)


def test_a_challenger_that_refuses_by_its_contract_refuses(registry: Registry, play: Play) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0), REFUSES_LARGE)

    async def scenario(bench: Bench) -> None:
        for _ in range(2 * MOST_FAULTS):
            denial = await bench.ask(
                "m", infer_body([[99.0, 0, 0]]), key=caller_of(rollout, is_canary=True)
            )
            assert isinstance(denial, Denial)
        record = bench.record()

        assert (record.lane, record.error, record.rollout) == (Lane.CANARY, "range", rollout.id)
        assert bench.series("m", 2, Lane.CANARY).errors == {"range": 2 * MOST_FAULTS}
        assert bench.loader.roster.canaries["m"]

    play(scenario)


def test_a_fault_that_the_champion_shares_is_told_and_stops_nobody(
    registry: Registry, play: Play, trips: Trips
) -> None:
    rollout = publish_pair(registry, squeezing_model(), squeezing_model())

    async def scenario(bench: Bench) -> None:
        for _ in range(2 * MOST_FAULTS):
            denial = await bench.ask("m", vector(1, 2), key=caller_of(rollout, is_canary=True))
            assert isinstance(denial, Denial)
            assert denial.refusal.code == "model-failed"
        record = bench.record()

        assert (record.outcome, record.lane) == (Outcome.FAILED, Lane.CHAMPION)
        assert record.canary_error == "model-failed"
        assert trips.asked == []

    play(scenario)


def test_a_turn_that_is_too_long_ends_before_the_challenger_and_is_not_its_fault(
    registry: Registry, play: Play, trips: Trips
) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))
    keys = [caller_of(rollout, is_canary=is_canary) for is_canary in (True, False)]

    async def scenario(bench: Bench) -> None:
        for _ in range(2 * MOST_FAULTS):
            told = await asyncio.gather(*(bench.told("m", ROW, key=key) for key in keys))
            assert told == [("1", "champion", [6])] * 2
        assert bench.series("m", 2, Lane.CANARY).gave_way == {"overloaded": 2 * MOST_FAULTS}
        assert bench.loader.roster.canaries["m"]
        assert trips.asked == []
        assert (await bench.told("m", ROW, key=keys[0]))[1] == "canary"  # alone in its turn

    play(scenario, longest_turn_s=0)


def test_what_was_shed_is_evidence_of_neither_lane(registry: Registry, play: Play) -> None:
    publish(registry, "other", linear_model())
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))
    mine, others = (caller_of(rollout, is_canary=is_canary) for is_canary in (True, False))

    async def counted(bench: Bench) -> list[int]:
        evidence = (await bench.counted())["m", 2, rollout.evidence_lane(0)]
        [errors] = Layout.of(rollout.plan, 0, {}).of_kind(GuardKind.ERRORS)
        [event] = read_rates(evidence, errors.start, errors.bins).events
        return [*evidence[:2], event.champion, event.challenger]

    async def scenario(bench: Bench) -> None:
        for _ in range(BLOCK):
            _, denial = await asyncio.gather(
                bench.ask("other", ROW), bench.ask("m", ROW, key=others)
            )
            assert isinstance(denial, Denial)
            assert denial.refusal.code == "overloaded"
            await bench.ask("m", ROW, key=mine)
        assert await counted(bench) == [0, 0, 0, 0]
        for _ in range(BLOCK):
            await bench.ask("m", ROW, key=others)
        assert await counted(bench) == [BLOCK, BLOCK, 0, 0]

    play(scenario, longest_turn_s=0)


def test_of_an_answer_of_many_rows_some_are_put_into_bins_evenly_spread() -> None:
    signature = Signature(
        inputs=(), outputs=(TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1,)),)
    )
    column = Column(Guard(kind=GuardKind.SHIFT, margin=2.0, output="y"), signature)
    rows = np.arange(4 * MOST_ROWS, dtype=np.float32)
    found = column.bins({"y": rows}, Bins(edges=(float(2 * MOST_ROWS - 1),)))
    assert found == [0] * (MOST_ROWS // 2) + [1] * (MOST_ROWS // 2)


def test_faults_in_a_row_stop_a_challenger_at_once_and_roll_it_back(
    registry: Registry, play: Play, trips: Trips
) -> None:
    rollout = publish_pair(registry, summing_model(), squeezing_model())
    key = caller_of(rollout, is_canary=True)
    trips.faults = [StoreUnavailable("busy")]

    async def scenario(bench: Bench) -> None:
        for _ in range(MOST_FAULTS - 1):
            await bench.ask("m", vector(1, 2), key=key)
        assert (await bench.told("m", vector(1), key=key))[1] == "canary"  # begins anew
        for _ in range(MOST_FAULTS):
            assert trips.asked == []
            await bench.ask("m", vector(1, 2), key=key)

        # The store has not heard of it yet, nor has the roster.
        assert bench.loader.roster.canaries["m"]
        assert (await bench.told("m", vector(1), key=key))[1] == "champion"
        async with asyncio.timeout(WAIT_S):
            while not rollout_of(registry, rollout).phase.is_over:
                await asyncio.sleep(0.01)
        await bench.loader.load()

        assert rollout_of(registry, rollout).phase is Phase.ROLLED_BACK
        assert bench.loader.roster.canaries == {}
        assert [asked for asked, _ in trips.asked] == [rollout.id] * 2
        assert "model-failed" in trips.asked[0][1]

    play(scenario)


def test_nothing_is_kept_of_the_faults_of_a_rollout_that_is_over(
    registry: Registry, play: Play
) -> None:
    rollout = publish_pair(registry, summing_model(), squeezing_model())
    key = caller_of(rollout, is_canary=True)

    async def scenario(bench: Bench) -> None:
        canaries = bench.canaries
        await bench.ask("m", vector(1, 2), key=key)
        await bench.loader.load()
        assert canaries._faults == {rollout.id: 1}  # it goes on
        for _ in range(MOST_FAULTS - 1):
            await bench.ask("m", vector(1, 2), key=key)
        async with asyncio.timeout(WAIT_S):
            while not rollout_of(registry, rollout).phase.is_over:
                await asyncio.sleep(0.01)
        assert canaries._stopped == {rollout.id}
        await bench.loader.load()
        assert (canaries._faults, canaries._broken) == ({}, {})
        async with asyncio.timeout(WAIT_S):
            while canaries._trips:
                await asyncio.sleep(0.01)
        await bench.loader.load()
        assert canaries._stopped == set()

    play(scenario)


def test_a_challenger_that_is_to_be_rolled_back_stays_stopped_while_it_is_paused(
    registry: Registry, play: Play, trips: Trips
) -> None:
    rollout = publish_pair(registry, summing_model(), squeezing_model())
    key = caller_of(rollout, is_canary=True)
    trips.faults = [StoreUnavailable("busy")] * 100

    async def scenario(bench: Bench) -> None:
        for _ in range(MOST_FAULTS):
            await bench.ask("m", vector(1, 2), key=key)
        for change in (rolling_out.pause, rolling_out.resume):
            change(registry, rollout.id, "a look", AUTHOR)
            await bench.loader.load()
        assert bench.loader.roster.canaries["m"]
        assert (await bench.told("m", vector(1), key=key))[1] == "champion"

    play(scenario)


def rollout_of(registry: Registry, rollout: Rollout) -> Rollout:
    found = registry.store.rollout(rollout.id)
    assert found is not None
    return found


def test_the_evidence_of_both_lanes_is_counted_under_the_challenger(
    registry: Registry, play: Play
) -> None:
    draft = Draft(reference=OF_ONE_COLUMN)
    publish(registry, "m", linear_model(), draft)
    second = publish(registry, "m", linear_model(2.0), draft, promote=False)
    guards = (
        ERRORS,
        Guard(kind=GuardKind.REFUSALS, margin=2.0),
        Guard(kind=GuardKind.LATENCY, margin=2.0, edge_ms=60_000),
        Guard(kind=GuardKind.SHIFT, margin=2.0),
        Guard(kind=GuardKind.SCORE, margin=1.0),
    )
    rollout = start_canary(registry, "m", guards=guards)

    async def scenario(bench: Bench) -> None:
        keys = [caller_of(rollout, is_canary=is_canary) for is_canary in (True, False)]
        for key in keys * 2 * BLOCK:
            await bench.ask("m", infer_body([[1.0, 2.0, 3.0], [0, 0, 0]]), key=key)
        counted = await bench.counted()

        evidence = counted["m", 2, rollout.evidence_lane(0)]
        layout = Layout.of(rollout.plan, 0, {3: 5})
        assert len(evidence) == layout.size
        assert evidence[:2] == [2 * BLOCK, 2 * BLOCK]
        assert all(sum(evidence[one.start : one.start + one.size]) for one in layout.sections[3:])
        # Values are counted as those of any lane: a row has three inputs and an output.
        rows = 2 * 2 * BLOCK
        assert (counted["m", 2, "canary"][0], counted["m", 1, "champion"][0]) == (rows, rows)
        written = [lane for found in bench._summaries.read() for lane in found.counts.lanes]
        [lane] = [one for one in written if one.lane == rollout.evidence_lane(0)]
        assert lane.manifest == second.manifest

    play(scenario)


def test_what_the_champion_answered_for_a_challenger_is_counted_once(
    registry: Registry, play: Play
) -> None:
    publish(registry, "m", linear_model(), Draft(reference=REFERENCE))
    draft = Draft(reference=REFERENCE, contract=WITHHOLDS_LARGE.contract)
    publish(registry, "m", linear_model(9.0), draft, promote=False)
    rollout = start_canary(registry, "m")
    key = caller_of(rollout, is_canary=True)

    async def scenario(bench: Bench) -> None:
        large, small = infer_body([[1.0, 1.0, 1.0]]), infer_body([[0.1, 0.1, 0.1]])
        answers = [bench.ask("m", body, key=key) for body in (large, small, large)]
        await asyncio.gather(*answers)
        counted = await bench.counted()

        assert counted["m", 1, "champion"][0] == 2
        assert counted["m", 2, "canary"][0] == 1
        assert ("m", 2, "champion") not in counted

    play(scenario)


def test_several_challengers_answer_at_once_and_each_its_own(
    registry: Registry, play: Play
) -> None:
    publish(registry, "m", linear_model())
    for weight in (2.0, 3.0):
        publish(registry, "m", linear_model(weight), promote=False)
    rollouts = [start_canary(registry, "m", challenger=n, points=3_000) for n in (2, 3)]

    async def scenario(bench: Bench) -> None:
        for version, rollout in zip(("2", "3"), rollouts, strict=True):
            key = caller_of(rollout, is_canary=True)
            assert (await bench.told("m", ROW, key=key))[:2] == (version, "canary")
            assert bench.record().rollout == rollout.id
        lanes = [await bench.told("m", ROW) for _ in range(200)]
        assert {found[0] for found in lanes} == {"1", "2", "3"}
        counted = await bench.counted()
        champion = sum(found[0] == "1" for found in lanes)
        for version, rollout in zip(("2", "3"), rollouts, strict=True):
            met = 1 + sum(found[0] == version for found in lanes)
            evidence = counted["m", int(version), rollout.evidence_lane(0)]
            assert BLOCK <= evidence[0] <= champion  # all blocks that have ended
            assert BLOCK <= evidence[1] <= met

    play(scenario)


def test_challengers_that_are_over_leave_no_model_in_memory(registry: Registry, play: Play) -> None:
    draft = Draft(reference=OF_ONE_COLUMN)
    publish(registry, "m", linear_model(), draft)
    runners: list[ref[Runner]] = []

    async def meet(bench: Bench, number: int) -> None:
        publish(registry, "m", linear_model(float(number)), draft, promote=False)
        rollout = start_canary(registry, "m", challenger=number)
        await bench.loader.load()
        for is_canary in (True, False):
            key = caller_of(rollout, is_canary=is_canary)
            lane = (await bench.told("m", ROW, key=key))[1]
            assert (lane == "canary") is is_canary
        runners.append(ref(bench.loader.roster.models["m"].versions[number].runner))
        rolling_out.abort(registry, rollout.id, "the next one", AUTHOR)

    async def scenario(bench: Bench) -> None:
        for number in range(2, 6):
            await meet(bench, number)
        await bench.loader.load()
        await bench.observation.write()
        gc.collect()
        assert [one() for one in runners] == [None] * 4

    play(scenario)


def test_a_model_without_a_rollout_is_not_looked_at(registry: Registry, play: Play) -> None:
    publish(registry, "plain", linear_model())
    publish(registry, "m", linear_model())
    publish(registry, "m", linear_model(2.0), promote=False)

    async def scenario(bench: Bench) -> None:
        assert bench.loader.roster.canaries == {}
        rollout = start_canary(registry, "m", points=9_999)
        await bench.loader.load()
        assert list(bench.loader.roster.canaries) == ["m"]
        for _ in range(10):
            assert (await bench.told("plain", ROW))[1] == "champion"
        rolling_out.abort(registry, rollout.id, "a test", AUTHOR)
        await bench.loader.load()
        assert bench.loader.roster.canaries == {}

    play(scenario)


@pytest.mark.parametrize("columns", [0, 2])
def test_an_answer_that_lacks_the_column_of_a_guard_has_no_value_for_it(columns: int) -> None:
    guard = Guard(kind=GuardKind.SCORE, margin=1.0, output="open", column=2)
    column, values = Column(guard, SIGNATURE), {"open": np.ones((3, columns), np.float32)}

    assert column.mean(values) is None
    assert column.bins(values, Bins(edges=(0.5,))) == []


@pytest.mark.parametrize("broken", ["Layout.of", "Tally.add"])
def test_evidence_that_cannot_be_counted_keeps_no_answer(
    registry: Registry, play: Play, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    rollout = publish_pair(registry, linear_model(), linear_model(2.0))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"gateway.canaries.{broken}", fail)

    async def scenario(bench: Bench) -> None:
        for is_canary in (True, False, True):
            key = caller_of(rollout, is_canary=is_canary)
            assert isinstance(await bench.ask("m", ROW, key=key), Answer)
        assert not any(map(sum, (await bench.counted()).values()))

    play(scenario)


def test_a_caller_that_cannot_be_routed_is_told_so_and_no_other_waits(
    registry: Registry, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "other", linear_model())
    publish_pair(registry, linear_model(), linear_model(2.0))

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.canaries.point", fail)

    async def scenario(bench: Bench) -> None:
        denial, answer = await asyncio.gather(bench.ask("m", ROW), bench.ask("other", ROW))
        assert isinstance(denial, Denial)
        assert denial.refusal.code == "internal-error"
        assert isinstance(answer, Answer)

    play(scenario)
