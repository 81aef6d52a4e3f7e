from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from registry import drift
from registry.drift_policy import (
    DriftAction,
    DriftPolicy,
    FeatureDrift,
    check_drift_policy,
    drift_policy,
    holding,
)
from registry.entry import decode_record
from registry.errors import (
    FindingNotFound,
    FindingNotOpen,
    InvalidRequest,
    ModelNotFound,
    PromotionHeld,
)
from registry.findings import Finding, FindingState
from registry.recording import append_record
from registry.records import AuditRecord, Kind
from registry.registry import Registry
from tests.builders import AUTHOR, linear_model, publish

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOLD = DriftPolicy(action=DriftAction.HOLD_PROMOTION)


def last_record(registry: Registry) -> AuditRecord:
    size = registry.store.tree_size()  # ids of one millisecond are in no order
    [leaf] = registry.store.leaves(size - 1, size)
    return decode_record(leaf)


def find(registry: Registry, version: int = 1, **fields: Any) -> Finding:
    """Let something be found in the traffic of `sum`."""
    with registry.store.write() as tx:
        record = append_record(
            tx, "found", AUTHOR, NOON, kind=Kind.FINDING, version=tx.version("sum", version)
        )
        defaults = {
            "side": "input", "input": "x", "column": 0, "statistic": "missing", "expected": 0.01,
            "observed": 0.2, "since": NOON, "at": NOON + timedelta(minutes=3), "rows": 750,
            "evidence": 1e9,
        }  # fmt: skip
        finding = Finding(id=record.id, model="sum", version=version, **(defaults | fields))
        tx.add_finding(finding)
    return finding


@pytest.fixture
def watched(registry: Registry) -> Registry:
    """A registry whose model `sum` has a champion, version 1, and a version 2."""
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0), promote=False)
    return registry


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (DriftPolicy(tolerance=0.0), "tolerance"),
        (DriftPolicy(tolerance=0.5), "tolerance"),
        (DriftPolicy(tolerance=float("nan")), "tolerance"),
        (DriftPolicy(features={"x": FeatureDrift(tolerance=-0.1)}), "tolerance"),
        (DriftPolicy(false_alarm_days=0), "false_alarm_days"),
        (DriftPolicy(false_alarm_days=float("inf")), "false_alarm_days"),
        (DriftPolicy(false_alarm_days=1, look_s=86_400), "10 times"),
        (DriftPolicy(look_s=0.5), "look_s"),
        (DriftPolicy(look_s=float("nan")), "look_s"),
        (DriftPolicy(least_rows=0), "least_rows"),
        (DriftPolicy(features={"z": FeatureDrift()}), "no feature 'z'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_the_reason(
    policy: DriftPolicy, fault: str
) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        check_drift_policy(policy, {"x"})


def test_a_feature_is_treated_as_its_column_is_then_its_input_then_the_model() -> None:
    policy = DriftPolicy(
        action=DriftAction.ALERT,
        features={
            "x": FeatureDrift(tolerance=0.1),
            "x[2]": FeatureDrift(action=DriftAction.OBSERVE),
        },
    )

    assert [policy.tolerance_of(name) for name in ("x[1]", "x[2]", "y")] == [0.1, 0.03, 0.03]
    assert policy.action_of("x[2]") is DriftAction.OBSERVE
    assert policy.action_of("x[1]") is DriftAction.ALERT


def test_at_most_one_false_alarm_in_ninety_days_is_so_many_looks() -> None:
    assert DriftPolicy().run_length == 129_600


def test_a_policy_is_set_recorded_and_taken_back(watched: Registry) -> None:
    before = drift_policy(watched.store, "sum")
    drift.set_drift_policy(watched, "sum", HOLD, AUTHOR)

    record = last_record(watched)

    assert before == DriftPolicy()
    assert drift_policy(watched.store, "sum") == HOLD
    assert (record.action, record.model) == ("drift-policy.set", "sum")
    assert msgspec.json.decode(record.reason or "", type=DriftPolicy) == HOLD
    drift.set_drift_policy(watched, "sum", DriftPolicy(), AUTHOR)
    assert watched.store.settings() == []


def test_a_policy_of_an_unknown_model_or_feature_is_refused(watched: Registry) -> None:
    with pytest.raises(ModelNotFound):
        drift.set_drift_policy(watched, "other", HOLD, AUTHOR)
    for name in ("x", "y"):
        policy = DriftPolicy(features={name: FeatureDrift(tolerance=0.1)})
        drift.set_drift_policy(watched, "sum", policy, AUTHOR)
    with pytest.raises(InvalidRequest, match="'z'"):
        policy = DriftPolicy(features={"z": FeatureDrift(tolerance=0.1)})
        drift.set_drift_policy(watched, "sum", policy, AUTHOR)


def test_a_finding_of_the_champion_holds_promotions_where_the_policy_says_so(
    watched: Registry,
) -> None:
    find(watched)
    assert holding(watched.store, "sum") == []
    drift.set_drift_policy(watched, "sum", HOLD, AUTHOR)

    with pytest.raises(PromotionHeld, match=r"x\[0\]: missing"):
        watched.promote("sum", 2, "better", AUTHOR)

    assert watched.store.aliases("sum") == {"champion": 1}


def test_a_promotion_by_force_names_what_it_passed_over(watched: Registry) -> None:
    drift.set_drift_policy(watched, "sum", HOLD, AUTHOR)
    found = [find(watched), find(watched, column=1)]

    watched.promote("sum", 2, "trained on the new values", AUTHOR, by_force=True)

    record = last_record(watched)
    assert (record.action, record.reason) == ("promote", "trained on the new values")
    assert set((record.subject or "").split()) == {one.id for one in found}
    assert watched.store.aliases("sum") == {"champion": 2}


def test_force_that_was_not_needed_leaves_no_trace(watched: Registry) -> None:
    watched.promote("sum", 2, "better", AUTHOR, by_force=True)

    assert last_record(watched).subject is None


def test_a_finding_holds_nothing_once_it_is_closed_or_of_no_champion(watched: Registry) -> None:
    drift.set_drift_policy(watched, "sum", HOLD, AUTHOR)
    found = find(watched)
    find(watched, version=2)

    closed = drift.close_finding(watched, "sum", found.id, "a known campaign", AUTHOR)

    assert closed.state is FindingState.CLOSED
    assert (closed.by, closed.reason) == (AUTHOR.principal, "a known campaign")
    watched.promote("sum", 2, "better", AUTHOR)


def test_a_rollback_is_never_held(watched: Registry) -> None:
    watched.promote("sum", 2, "better", AUTHOR)
    drift.set_drift_policy(watched, "sum", HOLD, AUTHOR)
    find(watched, version=2)

    watched.roll_back("sum", "it was not", AUTHOR)

    assert watched.store.aliases("sum") == {"champion": 1}


def test_closing_is_recorded_and_done_once(watched: Registry) -> None:
    found = find(watched)
    drift.close_finding(watched, "sum", found.id, "a known campaign", AUTHOR)

    record = last_record(watched)

    assert (record.kind, record.action, record.subject) == (Kind.FINDING, "closed", "x[0]")
    assert record.reason == f"a known campaign (finding {found.id})"
    assert (record.model, record.version) == ("sum", 1)
    with pytest.raises(FindingNotOpen):
        drift.close_finding(watched, "sum", found.id, "again", AUTHOR)
    with pytest.raises(FindingNotFound):
        drift.close_finding(watched, "sum", "none", "again", AUTHOR)
    with pytest.raises(InvalidRequest):
        drift.close_finding(watched, "sum", found.id, " ", AUTHOR)
