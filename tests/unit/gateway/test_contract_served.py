"""A contract in service: what is answered, what is recorded, and that a wrong rule stops nobody."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.cases import Answer, Call, Denial
from gateway.contract import RefusalCap
from gateway.journal import Journal
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.replay.asking import Asking
from gateway.replay.engines import Sessions
from gateway.replay.what_if import Opinion
from gateway.security import Role, make_key, read_credential
from registry.audit.query import AuditTrail
from registry.audit.replay import Agreement
from registry.entry import commit
from registry.manifest import Action, Contract, Draft, OutputRule, Rule, RuleKind
from registry.records import AuditRecord, Outcome
from registry.registry import Registry
from registry.tensors import decode_tensors, encode_tensors
from registry.times import now
from tests.builders import AUTHOR, add_key, infer_body, linear_model, publish
from tests.unit.gateway.serving import make_loader, make_pipeline

Row = list[float | None]

LOW = Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=0, low=0)
CLIP = Rule(input="x", kind=RuleKind.RANGE, action=Action.CLIP, column=1, low=0, high=10)
IMPUTE = Rule(input="x", kind=RuleKind.MISSING, action=Action.IMPUTE, column=2, value=7.0)
FLAG = Rule(input="x", kind=RuleKind.RANGE, action=Action.FLAG, column=2, high=100)
RULES = (LOW, CLIP, IMPUTE, FLAG)


class Served:
    """A pipeline over one model `m`, asked row by row."""

    def __init__(self, registry: Registry, pipeline: Pipeline, metrics: Metrics, path: Path):
        self.registry = registry
        self.metrics = metrics
        self.trail = AuditTrail(registry.store, path)
        self._pipeline = pipeline

    async def ask(self, *rows: Row, token: str | None = None) -> Answer | Denial:
        call = Call(
            model="m",
            version=None,
            body=msgspec.json.encode(infer_body([list(row) for row in rows])),
            credential=read_credential(f"Bearer {token or self.token}"),
            source=None,
        )
        return await self._pipeline.infer(call)

    async def answer(self, *rows: Row) -> tuple[dict[str, Any], AuditRecord]:
        answer = await self.ask(*rows)
        assert isinstance(answer, Answer), answer
        body = msgspec.json.decode(answer.encoded.body)
        return body, self.trail.record(answer.record_id).record

    async def refusal(self, *rows: Row) -> tuple[Denial, AuditRecord]:
        denial = await self.ask(*rows)
        assert isinstance(denial, Denial), denial
        return denial, self.trail.record(denial.record_id).record

    token: str


Scenario = Callable[[Served], Awaitable[None]]


def serve(registry: Registry, path: Path, scenario: Scenario) -> None:
    async def run() -> None:
        token = add_key(registry, Role.INVOKER)
        with make_loader(registry) as loader:
            journal = Journal(path, on_broken=lambda _: None)
            long_runs = LongRuns(threads=1, longest_wait_s=1)
            metrics = Metrics()
            pipeline = make_pipeline(loader, journal, long_runs, metrics)
            await loader.load()
            served = Served(registry, pipeline, metrics, path)
            served.token = token
            try:
                await scenario(served)
            finally:
                await journal.close()
                long_runs.close()

    asyncio.run(run())


@pytest.fixture
def serving(registry: Registry, tmp_path: Path) -> Callable[..., None]:
    def play(scenario: Scenario, **contract: Any) -> None:
        draft = Draft(contract=Contract(**{"rules": RULES} | contract))
        publish(registry, "m", linear_model(), draft)
        serve(registry, tmp_path, scenario)

    return play


def values(body: dict[str, Any]) -> list[float | None]:
    found: list[float | None] = body["outputs"][0]["data"]
    return found


def test_a_repaired_request_is_answered_from_the_repaired_values(
    serving: Callable[..., None],
) -> None:
    async def scenario(served: Served) -> None:
        body, record = await served.answer([1, 2, 3], [1, 99, None], [1, -5, 3])

        assert values(body) == [6, 1 + 10 + 7, 1 + 0 + 3]
        told = "range x[1,1], range x[2,1], missing x[1,2]"
        assert body["parameters"]["repaired"] == told
        assert ", ".join(record.repaired) == told
        assert "flags" not in body["parameters"]

    serving(scenario)


def test_what_is_kept_and_committed_to_is_what_the_caller_sent(
    serving: Callable[..., None],
) -> None:
    async def scenario(served: Served) -> None:
        _, record = await served.answer([1, 99, None])

        payload = served.trail.payload(record.id)
        sent = encode_tensors({"x": np.array([[1, 99, np.nan]], np.float32)})
        assert payload.input == sent
        assert record.input == commit(payload.salt, sent)

    serving(scenario)


def test_the_replay_of_a_repaired_request_is_identical(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        _, record = await served.answer([1, 99, None], [1, 2, 3])
        engine = Sessions(served.registry.artifacts, deadline_s=5)
        asking = Asking(served.registry, served.trail, engine)

        replay, other = asking.ask_one(record.id), asking.ask_one(record.id, version=1)

        assert replay.result is Agreement.IDENTICAL
        assert other.result is Opinion.SAME
        assert other.repaired == record.repaired
        engine.close()

    serving(scenario)


def test_a_repair_is_of_nobody_elses_request(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        found = await asyncio.gather(
            served.ask([1, 2, 3]), served.ask([1, 99, 3]), served.ask([-1, 2, 3]),
            served.ask([1, 2, 999]), served.ask([2, 2, 3]),
        )  # fmt: skip

        answers = [msgspec.json.decode(a.encoded.body) for a in found if isinstance(a, Answer)]
        assert [values(body) for body in answers] == [[6], [14], [1002], [7]]
        told = [{*body["parameters"]} - {"record_id", "lane"} for body in answers]
        assert told == [set(), {"repaired"}, {"flags"}, set()]
        assert isinstance(found[2], Denial)
        assert {served.trail.record(one.record_id).record.batch for one in found} == {4, None}

    serving(scenario)


def test_a_request_that_is_refused_is_not_repaired(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        denial, record = await served.refusal([-1, 99, None])

        assert denial.refusal.code == "range"
        assert record.violations == ("range x[0,0]",)
        assert record.output is None

    serving(scenario)


def output_rule(kind: RuleKind, action: Action, **more: Any) -> OutputRule:
    return OutputRule(input="y", kind=kind, action=action, **more)


def test_an_answer_that_breaks_a_rule_is_withheld_and_recorded(
    serving: Callable[..., None],
) -> None:
    async def scenario(served: Served) -> None:
        denial, record = await served.refusal([1, 2, None], [1, 2, 3])

        assert denial.refusal.code == "output-not-accepted"
        assert denial.refusal.detail == (
            "The answer breaks a rule of the contract on outputs and is withheld."
            " Output 'y', row 0: expected a finite number."
        )
        assert (record.outcome, record.error) == (Outcome.FAILED, "output-not-accepted")
        assert record.violations == ("finite y[0]",)
        assert record.output is None
        assert record.runtime is not None
        assert decode_tensors(served.trail.payload(record.id).input or b"")["x"].shape == (2, 3)

    serving(scenario, rules=(), outputs=(output_rule(RuleKind.FINITE, Action.REJECT),))


def test_rules_on_outputs_flag_and_observe_beside_those_on_inputs(
    serving: Callable[..., None],
) -> None:
    async def scenario(served: Served) -> None:
        body, record = await served.answer([1, 2, 200])

        assert body["parameters"]["flags"] == "range x[0,2], range y[0]"
        assert record.flags == ("range x[0,2]", "range y[0]")
        assert record.observed == ("range y[0]",)
        _, clean = await served.answer([1, 2, 3])
        assert (clean.flags, clean.observed) == ((), ())

    rules = (
        output_rule(RuleKind.RANGE, Action.FLAG, high=100),
        output_rule(RuleKind.RANGE, Action.OBSERVE, high=50),
    )
    serving(scenario, outputs=rules)


def test_while_a_version_warms_up_its_rules_only_observe(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        body, record = await served.answer([-1, 99, 200])

        assert values(body) == [298]
        assert set(body["parameters"]) == {"record_id", "lane"}
        assert (record.violations, record.flags, record.repaired) == ((), (), ())
        assert record.observed == (
            "range x[0,0] (would reject)",
            "range x[0,2] (would flag)",
            "range x[0,1] (would clip)",
        )
        answer, withheld = await served.answer([1, 2, None])
        assert values(answer) == [None]
        assert withheld.observed == (
            "missing x[0,2] (would impute)",
            "finite y[0] (would reject)",
        )
        engine = Sessions(served.registry.artifacts, deadline_s=5)
        replay = Asking(served.registry, served.trail, engine).ask_one(record.id)
        assert replay.result is Agreement.IDENTICAL
        engine.close()

    finite = output_rule(RuleKind.FINITE, Action.REJECT)
    serving(scenario, outputs=(finite,), warm_up_s=3600.0)


def test_a_warm_up_counts_from_the_first_alias_and_never_again(
    registry: Registry, tmp_path: Path
) -> None:
    draft = Draft(contract=Contract(rules=RULES, warm_up_s=3600.0))
    publish(registry, "m", linear_model(), draft, promote=False)
    earlier = Registry(
        registry.store, registry.artifacts, clock=lambda: now() - timedelta(seconds=3601)
    )
    earlier.point_alias("m", "candidate", 1, "to try it", AUTHOR)
    registry.promote("m", 1, "it is good", AUTHOR)

    async def scenario(served: Served) -> None:
        await served.refusal([-1, 2, 3])

    serve(registry, tmp_path, scenario)


def test_a_rule_that_would_refuse_too_much_only_flags(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        good: Row = [1, 2, 3]
        for _ in range(199):
            await served.answer(good)
        for _ in range(10):
            await served.refusal([-1, 2, 3])
        assert served.metrics.snapshot().vitals.suspensions == []
        with capture_logs() as logs:
            await served.refusal([-1, 2, 3])
        body, record = await served.answer([-1, 2, 3])

        assert [
            (log["event"], log["log_level"], log["refused"], log["requests"]) for log in logs
        ] == [("contract_suspended", "critical", 11, 210)]
        assert body["parameters"]["flags"] == "range x[0,0] (would reject)"
        assert record.flags == ("range x[0,0] (would reject)",)
        [suspension] = served.metrics.snapshot().vitals.suspensions
        assert (suspension.model, suspension.version, suspension.refused) == ("m", 1, 12)
        [series] = [one for one in served.metrics.counts().series if one.version == 1]
        assert series.suspensions == 1
        assert series.violations == {"rejected range x": 11, "would-reject range x": 1}

        with capture_logs() as logs:
            for _ in range(270):
                await served.answer(good)
        assert [log["event"] for log in logs] == ["contract_resumed"]
        assert served.metrics.snapshot().vitals.suspensions == []
        await served.refusal([-1, 2, 3])

    serving(scenario)


def test_without_a_cap_every_request_is_refused(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        for _ in range(300):
            await served.refusal([-1, 2, 3])

    serving(scenario, refusal_cap=None)


def test_answers_that_are_withheld_count_towards_the_cap(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        found = [await served.ask([1, 2, None]) for _ in range(250)]

        assert [isinstance(one, Denial) for one in found] == [True] * 200 + [False] * 50

    serving(scenario, rules=(), outputs=(output_rule(RuleKind.FINITE, Action.REJECT),))


def test_a_key_may_hide_what_would_have_been_accepted(
    serving: Callable[..., None], registry: Registry
) -> None:
    key, token = make_key(
        name="", roles=[Role.INVOKER], author="local:tests", created=now(), hides_expected=True
    )
    registry.add_key(key, AUTHOR)

    async def scenario(served: Served) -> None:
        hidden = await served.ask([-1, 2, 3], [-2, 2, 3], token=token)
        plain = await served.ask([-1, 2, 3])

        assert isinstance(hidden, Denial)
        assert isinstance(plain, Denial)
        assert hidden.refusal.detail == (
            "A value lies outside the range of the contract. Input 'x', row 0, column 0."
            " Violations: 2."
        )
        for violation in msgspec.to_builtins(hidden.refusal.violations):
            assert set(violation) == {"input", "rule", "row", "column"}
        assert "expected at least 0" in plain.refusal.detail
        assert plain.refusal.violations[0].expected == "at least 0"
        record = served.trail.record(hidden.record_id).record
        assert record.violations == ("range x[0,0]", "range x[1,0]")

    serving(scenario)


def test_what_rules_did_is_counted_by_rule(serving: Callable[..., None]) -> None:
    async def scenario(served: Served) -> None:
        await served.answer([1, 99, None])
        await served.answer([1, -99, 101])
        await served.refusal([-1, 99, 3])

        [series] = [one for one in served.metrics.counts().series if one.version == 1]
        assert series.violations == {
            "repaired range x": 3,
            "repaired missing x": 1,
            "flagged range x": 1,
            "rejected range x": 1,
        }

    serving(scenario)


def naive(events: list[tuple[float, bool]], cap: float) -> list[bool]:
    """Say of each event whether rules are suspended after it, from the whole history."""
    states, suspended = [], False
    for at, (now_s, _) in enumerate(events):
        bucket = int(now_s / 5)
        window = [refused for then, refused in events[: at + 1] if int(then / 5) > bucket - 60]
        share = sum(window) / len(window)
        may_begin = len(window) >= 200 and share > cap
        suspended = share >= cap / 2 if suspended else may_begin
        states.append(suspended)
    return states


@pytest.mark.parametrize("seed", range(5))
def test_the_cap_is_what_the_whole_history_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(random.choice([0.2, 1.0, 3.0], 1500)))
    rate = np.repeat(random.choice([0.0, 0.02, 0.06, 0.5], 15), 100)
    events = list(zip(times.tolist(), (random.random(1500) < rate).tolist(), strict=True))
    cap = RefusalCap(0.05)

    states, changes = [], []
    for now_s, refused in events:
        changes.append(cap.count(now_s, is_refused=refused))
        states.append(cap.is_suspended)

    assert states == naive(events, 0.05)
    assert changes == [one != two for one, two in zip([False, *states], states, strict=False)]
    assert True in states


def test_an_idle_window_forgets() -> None:
    cap = RefusalCap(0.05)
    for _ in range(300):
        cap.count(10.0, is_refused=True)
    assert cap.is_suspended
    assert cap.count(10.0 + 300, is_refused=False)
    assert (cap.is_suspended, cap.requests, cap.refused) == (False, 1, 0)
