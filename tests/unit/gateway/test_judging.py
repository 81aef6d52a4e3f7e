"""Looks at what came of a champion: findings, their records, and how a restart goes on."""

from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from gateway.drift.acting import Fallbacks
from gateway.drift.judging import Judge
from gateway.monitor.layout import Layout
from registry import drift
from registry.distribution import Feature, Numeric, Reference
from registry.drift_policy import DriftAction, DriftPolicy, FeatureDrift
from registry.entry import Entry, decode_record, encode_record, new_record_id
from registry.errors import StoreUnavailable
from registry.events import EventType
from registry.findings import FindingState
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.records import AuditRecord, Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.times import to_us
from registry.windows import LaneCounts, WorkerCounts
from tests.builders import AUTHOR, linear_model, publish
from tests.unit.registry.test_announcing import tell
from tests.unit.registry.test_announcing import told as events

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ROWS = 100_000
POLICY = DriftPolicy(look_s=10, least_rows=100, false_alarm_days=1)
MISSING = 0.01


def feature(column: int) -> Feature:
    missing = int(ROWS * MISSING)
    quarter = (ROWS - missing) // 4
    bins = Numeric(
        minimum=-4.0, maximum=4.0, mean=0.0, std=1.0, edges=(-0.67, 0.0, 0.67),
        bin_counts=(quarter,) * 4,
    )  # fmt: skip
    return Feature(
        input="x", column=column, count=ROWS - missing, missing=missing, distribution=bins
    )


REFERENCE = Reference(rows=ROWS, features=tuple(feature(column) for column in range(3)))
LAYOUT = Layout.of(REFERENCE)


class Traffic:
    """What workers count of rows whose share of missing values in column 1 can be chosen."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._random = np.random.default_rng(7)
        self._worker = 0
        self.now = NOON

    def clock(self) -> datetime:
        return self.now

    def come(
        self, rows: int = 250, missing: float = MISSING, seconds: int = 10, version: int = 1
    ) -> None:
        """Let rows come, as many each second, and the time pass in which they do."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            counts = [0] * LAYOUT.size
            counts[0] = rows // seconds
            for cells, share in zip(LAYOUT.features, (MISSING, missing, MISSING), strict=True):
                absent = int(self._random.binomial(rows // seconds, share))
                bins = self._random.multinomial(rows // seconds - absent, [0.25] * 4)
                counts[cells.cell("missing")] = absent
                for cell, count in zip(cells.splits[0].bins, bins, strict=True):
                    counts[cell] = int(count)
            self._take(counts, version)

    def _take(self, counts: list[int], version: int) -> None:
        self._worker += 1
        found = self._registry.version("m", version)
        lane = LaneCounts("m", version, Lane.CHAMPION, found.manifest, array("q", counts).tobytes())
        worker = WorkerCounts(f"worker {self._worker}", to_us(self.now), (lane,))
        self._registry.store.take([worker])


@pytest.fixture
def traffic(registry: Registry) -> Traffic:
    publish(registry, "m", linear_model(), Draft(reference=REFERENCE))
    drift.set_drift_policy(registry, "m", POLICY, AUTHOR)
    return Traffic(registry)


@pytest.fixture
def make_judge(registry: Registry, traffic: Traffic) -> Callable[[], Judge]:
    return lambda: Judge(registry, Fallbacks(registry), traffic.clock)


@pytest.fixture
def judge(make_judge: Callable[[], Judge]) -> Judge:
    return make_judge()


def watch(judge: Judge, traffic: Traffic, looks: int, **how: Any) -> None:
    for _ in range(looks):
        traffic.come(**how)
        judge.look("m", 1)


def told(registry: Registry) -> list[AuditRecord]:
    """Return the records of findings, oldest first."""
    found = registry.store.records(RecordFilter(kind=Kind.FINDING), before=None, limit=1000)
    return [decode_record(leaf) for _, leaf in sorted(found)]


def test_traffic_as_in_training_is_no_finding(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 60)

    assert told(registry) == []
    assert registry.store.findings("m") == []


def test_a_finding_is_told_once_with_its_record_and_ended_once(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 5)
    watch(judge, traffic, 20, missing=0.3)
    [record] = told(registry)
    [finding] = registry.store.findings("m")

    assert (record.kind, record.action, record.outcome) == (Kind.FINDING, "found", Outcome.DONE)
    assert (record.principal, record.model, record.version) == ("controller", "m", 1)
    assert record.subject == finding.feature == "x[1]"
    assert (record.reason or "").startswith("missing ")
    assert finding.id == record.id
    assert finding.state is FindingState.OPEN
    assert (finding.side, finding.statistic) == ("input", "missing")
    assert finding.expected == pytest.approx(MISSING, abs=1e-6)
    assert finding.observed == pytest.approx(0.3, abs=0.06)
    assert NOON + timedelta(seconds=40) <= finding.since <= NOON + timedelta(seconds=80)
    assert finding.rows >= 250

    watch(judge, traffic, 60)

    assert [one.action for one in told(registry)] == ["found", "ended"]
    [finding] = registry.store.findings("m")
    assert (finding.state, finding.by) == (FindingState.ENDED, "controller")
    assert finding.id in (told(registry)[1].reason or "")


def test_a_restart_between_any_two_looks_changes_nothing(
    registry: Registry, make_judge: Callable[[], Judge], traffic: Traffic
) -> None:
    for missing in [MISSING] * 5 + [0.3] * 10 + [MISSING] * 60:
        traffic.come(missing=missing)
        make_judge().look("m", 1)

    assert [one.action for one in told(registry)] == ["found", "ended"]


def test_a_look_that_fails_has_changed_nothing_and_is_made_again(
    registry: Registry, judge: Judge, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(judge, traffic, 5)
    traffic.come(missing=0.9)
    blocks, state = registry.store.blocks("m", 1), registry.store.detector("m", 1)

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("full")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.drift.judging.append_record", fail)
        with pytest.raises(StoreUnavailable):
            judge.look("m", 1)
    assert registry.store.blocks("m", 1) == blocks
    assert registry.store.detector("m", 1) == state

    judge.look("m", 1)
    assert len(told(registry)) == 1
    assert registry.store.blocks("m", 1) == []


def test_no_look_is_made_before_enough_rows_came_or_too_soon(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    traffic.come(rows=10)
    judge.look("m", 1)
    begun = registry.store.detector("m", 1)
    traffic.come(rows=50)
    judge.look("m", 1)
    assert registry.store.detector("m", 1) == begun

    traffic.come(rows=40)
    judge.look("m", 1)
    looked = registry.store.detector("m", 1)
    assert looked is not None
    assert looked.looked == traffic.now
    traffic.come(rows=500, seconds=5)
    judge.look("m", 1)
    assert registry.store.detector("m", 1) == looked


def test_a_finding_that_a_person_closed_is_not_told_again_while_it_lasts(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 10, missing=0.3)
    [finding] = registry.store.findings("m")
    drift.close_finding(registry, "m", finding.id, "a campaign", AUTHOR)

    watch(judge, traffic, 10, missing=0.3)
    assert [one.action for one in told(registry)] == ["found", "closed"]
    watch(judge, traffic, 60)
    assert [one.action for one in told(registry)] == ["found", "closed"]
    watch(judge, traffic, 10, missing=0.3)
    assert [one.action for one in told(registry)] == ["found", "closed", "found"]


def test_findings_of_a_version_end_when_it_is_champion_no_more(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 10, missing=0.3)
    publish(registry, "m", linear_model(2.0), Draft(reference=REFERENCE))

    judge.look_all()

    assert [one.action for one in told(registry)] == ["found", "ended"]
    assert "champion no more" in (told(registry)[1].reason or "")
    assert registry.store.judged() == []


def test_another_tolerance_begins_anew_and_ends_what_is_open(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 10, missing=0.2)
    policy = DriftPolicy(look_s=10, least_rows=100, false_alarm_days=1, tolerance=0.4)
    drift.set_drift_policy(registry, "m", policy, AUTHOR)

    watch(judge, traffic, 10, missing=0.2)

    assert [one.action for one in told(registry)] == ["found", "ended"]
    assert "in another way" in (told(registry)[1].reason or "")


def test_people_are_told_of_a_finding_and_its_end_with_the_call_that_rolls_back(
    registry: Registry, traffic: Traffic, judge: Judge
) -> None:
    publish(registry, "m", linear_model(2.0), Draft(reference=REFERENCE))
    tell(registry, "ops", EventType.FINDING_OPENED, EventType.FINDING_ENDED)
    for missing in [0.3] * 10 + [MISSING] * 60:
        traffic.come(missing=missing, version=2)
        judge.look("m", 2)

    opened, ended = events(registry, "ops")
    record = told(registry)[0]

    assert (opened.type, ended.type) == ("finding.opened", "finding.ended")
    assert opened.record_id == record.id == opened.data["id"]
    assert record.reason is not None
    assert record.reason in opened.summary
    assert opened.rollback is not None
    assert opened.rollback.body["version"] == 1
    assert ended.data["state"] == "ended"


def test_where_it_is_only_observed_nobody_is_told(
    registry: Registry, traffic: Traffic, judge: Judge
) -> None:
    policy = DriftPolicy(look_s=10, least_rows=100, false_alarm_days=1, action=DriftAction.OBSERVE)
    drift.set_drift_policy(registry, "m", policy, AUTHOR)
    tell(registry, "ops")
    watch(judge, traffic, 10, missing=0.3)
    [finding] = registry.store.findings("m")
    drift.close_finding(registry, "m", finding.id, "a campaign", AUTHOR)

    assert events(registry, "ops") == []


def test_a_tolerance_of_its_own_is_that_of_the_feature_alone(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    own = {"x[1]": FeatureDrift(tolerance=0.4)}
    policy = DriftPolicy(look_s=10, least_rows=100, false_alarm_days=1, features=own)
    drift.set_drift_policy(registry, "m", policy, AUTHOR)
    watch(judge, traffic, 20, missing=0.3)
    assert told(registry) == []

    other = {"x[0]": FeatureDrift(tolerance=0.4)}
    policy = DriftPolicy(look_s=10, least_rows=100, false_alarm_days=1, features=other)
    drift.set_drift_policy(registry, "m", policy, AUTHOR)
    watch(judge, traffic, 20, missing=0.3)
    assert {one.subject for one in told(registry)} == {"x[1]"}


def test_a_declared_rate_of_missing_values_is_no_finding(
    registry: Registry, traffic: Traffic, judge: Judge
) -> None:
    rule = Rule(input="x", column=1, kind=RuleKind.MISSING_RATE, action=Action.OBSERVE, high=0.4)
    draft = Draft(reference=REFERENCE, contract=Contract(rules=(rule,)))
    publish(registry, "m", linear_model(2.0), draft)

    for _ in range(20):
        traffic.come(missing=0.3, version=2)
        judge.look("m", 2)

    assert "missing" not in {one.statistic for one in registry.store.findings("m")}


def broke(registry: Registry, name: str, at: datetime) -> str:
    """Let a request have been answered that broke a rule on an input; return its record's id."""
    time_ns = to_us(at) * 1000
    record = AuditRecord(
        id=new_record_id(time_ns), kind=Kind.INFERENCE, time=str(time_ns),
        outcome=Outcome.ANSWERED, model="m", version=1, observed=(f"missing {name}[0,1]",),
    )  # fmt: skip
    registry.store.integrate(record.id, 0, 1, [Entry(encode_record(record), None)])
    return record.id


def test_records_that_broke_a_rule_on_the_input_are_named_first(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    watch(judge, traffic, 2)
    named = broke(registry, "x", traffic.now + timedelta(seconds=1))
    others = [broke(registry, "other", traffic.now + timedelta(seconds=2)) for _ in range(20)]
    watch(judge, traffic, 5, missing=0.5)

    [finding] = registry.store.findings("m")

    assert finding.records[0] == named
    assert len(finding.records) == 10
    assert set(finding.records[1:]) <= set(others)


def test_one_model_that_cannot_be_judged_keeps_no_other_from_being_judged(
    registry: Registry, judge: Judge, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(registry.store, "judged", lambda: [("a", 1), ("b", 1)])

    def look(model: str, _: int) -> float:
        looked.append(model)
        if model == "a":
            raise ZeroDivisionError
        return 1.0

    monkeypatch.setattr(judge, "look", look)
    judge.look_all()

    assert looked == ["a", "b"]


def test_blocks_of_another_layout_are_passed_over(
    registry: Registry, judge: Judge, traffic: Traffic
) -> None:
    judge.look("m", 1)
    traffic.come()
    judge.look("m", 1)
    traffic._take([99], 1)
    traffic.come(rows=200)

    judge.look("m", 1)

    assert registry.store.blocks("m", 1) == []
