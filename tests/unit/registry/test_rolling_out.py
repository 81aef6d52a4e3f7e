"""Each verb on a rollout is one decision, with its record, its history and what people are told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from registry import drift, rolling_out
from registry.artifacts import digest_of
from registry.entry import decode_record
from registry.errors import (
    AlreadyChampion,
    InvalidRequest,
    LatencyUnmeasured,
    ModelNotFound,
    NoChampion,
    PlanRejected,
    PromotionHeld,
    RolloutNotFound,
    RolloutNotReady,
    RolloutOver,
    SharesExceeded,
    SignatureDiffers,
    VersionInRollout,
    VersionNotFound,
    VersionRetired,
)
from registry.events import EventType
from registry.manifest import Signature
from registry.recording import Author
from registry.records import AuditRecord
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Phase, Plan, Rollout, Verdict
from registry.versions import VersionState
from tests.builders import AUTHOR, open_registry
from tests.rolled import ERRORS, SIGNATURE, add_version, assess, make_manifest, make_plan, step
from tests.unit.registry.test_announcing import tell, told
from tests.unit.registry.test_drift_policies import HOLD, find

ANNE = Author(principal="key:anne", source="192.0.2.7")
WHY = "it was trained on more"


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry whose model `sum` has four versions, of which the first is champion."""
    for _ in range(4):
        add_version(registry, "sum")
    registry.promote("sum", 1, "for a test", AUTHOR)
    return registry


def start(registry: Registry, plan: Plan | None = None, model: str = "sum") -> Rollout:
    plan = plan or make_plan()
    edges_us = (0,) * len(plan.guards)
    return rolling_out.start(registry, model, plan, WHY, ANNE, edges_us=edges_us)


def pass_all(registry: Registry, rollout: Rollout) -> Rollout:
    while rollout.phase is not Phase.PASSED:
        rollout = rolling_out.advance(registry, rollout.id, assess(rollout), AUTHOR)
    return rollout


def last_record(registry: Registry) -> AuditRecord:
    size = registry.store.tree_size()  # ids of one millisecond are in no order
    [leaf] = registry.store.leaves(size - 1, size)
    return decode_record(leaf)


def state(registry: Registry) -> tuple[Any, ...]:
    with registry.store.snapshot() as view:
        rollouts = view.rollouts()
        return (
            view.generation(), view.tree_size(), rollouts, view.aliases("sum"),
            [view.rollout_changes(one.id) for one in rollouts], view.versions("sum"),
        )  # fmt: skip


def test_a_start_keeps_the_plan_and_its_record_commits_to_it(filled: Registry) -> None:
    tell(filled, "ops")
    score = Guard(kind=GuardKind.SCORE, margin=0.5, output="p")
    latency = Guard(kind=GuardKind.LATENCY, margin=1.5)
    before = filled.store.generation()

    plan = make_plan(guards=(score, latency))
    found = rolling_out.start(filled, "sum", plan, WHY, ANNE, edges_us=(7, 2_500))

    assert filled.store.generation() == before + 1
    assert filled.store.rollout(found.id) == found
    assert filled.store.open_rollouts() == filled.store.rollouts("sum") == [found]
    assert (found.phase, found.stage, found.base, found.champion) == (Phase.CANARY, 0, 0, 1)
    assert found.plan.guards == (replace(score, column=1), latency)
    assert found.edges_us == (0, 2_500)
    record = last_record(filled)
    assert (record.id, record.action) == (found.id, "rollout.start")
    assert (record.model, record.version, record.previous) == ("sum", 2, 1)
    assert (record.principal, record.source, record.reason) == (ANNE.principal, ANNE.source, WHY)
    assert record.subject == digest_of(msgspec.json.encode(found.plan))
    [change] = filled.store.rollout_changes(found.id)
    assert (change.action, change.record_id, change.principal) == ("start", found.id, "key:anne")
    [event] = told(filled, "ops")
    assert (event.type, event.model, event.version) == (EventType.ROLLOUT_STARTED, "sum", 2)
    assert "step 1 of 2 (10 %)" in event.summary
    assert WHY in event.summary


def test_a_start_that_cannot_be_is_refused_and_changes_nothing(filled: Registry) -> None:
    other = Signature(inputs=SIGNATURE.inputs, outputs=SIGNATURE.outputs[:1])
    add_version(filled, "sum", make_manifest(other))
    filled.retire("sum", 4, "for a test", AUTHOR)
    add_version(filled, "new")
    start(filled)
    before = state(filled)
    latency = make_plan(3, guards=(Guard(kind=GuardKind.LATENCY, margin=2.0),))

    refusals: list[tuple[type[Exception], Plan, str]] = [
        (ModelNotFound, make_plan(), "none"),
        (VersionNotFound, make_plan(9), "sum"),
        (VersionRetired, make_plan(4), "sum"),
        (AlreadyChampion, make_plan(1), "sum"),
        (NoChampion, make_plan(1), "new"),
        (VersionInRollout, make_plan(2), "sum"),
        (SignatureDiffers, make_plan(5), "sum"),
        (SharesExceeded, make_plan(3, steps=(step(7_500),)), "sum"),
        (LatencyUnmeasured, latency, "sum"),
        (PlanRejected, make_plan(3, guards=()), "sum"),
        (PlanRejected, make_plan(3, guards=(
            Guard(kind=GuardKind.SCORE, margin=1.0, output="z"),)), "sum"),
    ]  # fmt: skip

    for error, plan, model in refusals:
        with pytest.raises(error):
            start(filled, plan, model)
    for reason in ("", "  ", "x" * 1_001):
        with pytest.raises(InvalidRequest):
            rolling_out.start(filled, "sum", make_plan(3), reason, ANNE, edges_us=(0,))
    assert state(filled) == before


def test_a_latency_that_the_guard_states_goes_before_what_was_measured(filled: Registry) -> None:
    guards = tuple(
        Guard(kind=GuardKind.LATENCY, margin=2.0, quantile=quantile, edge_ms=edge_ms)
        for quantile, edge_ms in ((0.5, 12.5), (0.9, None), (0.99, 0.001))
    )
    found = rolling_out.start(
        filled, "sum", make_plan(guards=guards), WHY, ANNE, edges_us=(99, 42, 0)
    )
    assert found.edges_us == (12_500, 42, 1)


def shares(registry: Registry) -> list[tuple[int, int]]:
    return sorted(
        (one.base, one.base + one.plan.most_points) for one in registry.store.open_rollouts()
    )


def test_open_rollouts_of_a_model_share_a_salt_and_no_point(filled: Registry) -> None:
    add_version(filled, "other")
    add_version(filled, "other")
    filled.promote("other", 1, "for a test", AUTHOR)
    first = start(filled, make_plan(2, steps=(step(4_000),)))
    second = start(filled, make_plan(3, steps=(step(5_000),)))
    with pytest.raises(SharesExceeded, match=r"1,000 points of 10,000 .* at most 999"):
        start(filled, make_plan(4, steps=(step(1_000),)))
    third = start(filled, make_plan(4, steps=(step(999),)))
    apart = start(filled, make_plan(2, steps=(step(9_999),)), "other")

    assert shares(filled)[1:] == [(0, 9_999), (4_000, 9_000), (9_000, 9_999)]
    assert {one.salt for one in (first, second, third)} == {first.salt}
    assert apart.salt != first.salt


def test_a_share_that_is_free_again_is_given_to_a_rollout_that_fits_it(filled: Registry) -> None:
    first = start(filled, make_plan(2, steps=(step(3_000),)))
    start(filled, make_plan(3, steps=(step(3_000),)))
    rolling_out.abort(filled, first.id, WHY, ANNE)
    with pytest.raises(SharesExceeded, match="at most 4,000"):
        start(filled, make_plan(2, steps=(step(4_001),)))

    assert start(filled, make_plan(4, steps=(step(3_001),))).base == 6_000
    assert start(filled, make_plan(2, steps=(step(3_000),))).base == 0


def test_a_new_salt_is_drawn_when_no_rollout_of_the_model_is_open(filled: Registry) -> None:
    first = start(filled)
    rolling_out.abort(filled, first.id, WHY, ANNE)
    assert start(filled).salt != first.salt


def test_a_shadow_alone_takes_no_share(filled: Registry) -> None:
    start(filled, make_plan(2, steps=(step(9_999),)))
    found = start(filled, make_plan(3, steps=(), shadow=step(10_000)))
    assert (found.phase, found.shadow_points, found.points) == (Phase.SHADOW, 10_000, 0)


def test_each_stage_is_passed_on_evidence_that_is_kept_and_committed_to(filled: Registry) -> None:
    tell(filled, "ops", EventType.ROLLOUT_ADVANCED, EventType.ROLLOUT_PASSED)
    rollout = start(filled, make_plan(shadow=step(5_000)))
    phases = []
    for _ in range(3):
        evidence = assess(rollout)
        rollout = rolling_out.advance(filled, rollout.id, evidence, AUTHOR)
        phases.append((rollout.phase, rollout.stage))
        change = filled.store.rollout_changes(rollout.id)[-1]
        record = last_record(filled)
        assert change.assessment == evidence
        assert change.record_id == record.id
        assert record.rollout == rollout.id
        assert record.subject == digest_of(msgspec.json.encode(evidence))

    assert phases == [(Phase.CANARY, 1), (Phase.CANARY, 2), (Phase.PASSED, 2)]
    actions = [one.action for one in filled.store.rollout_changes(rollout.id)]
    assert actions == ["start", "advance", "advance", "pass"]
    events = told(filled, "ops")
    assert [one.type for one in events] == [
        "rollout.advanced", "rollout.advanced", "rollout.passed",
    ]  # fmt: skip
    judgement = events[0].data["assessment"]["judgements"][0]
    assert (judgement["verdict"], judgement["evidence_fine"]) == ("non_inferior", 4.25)


@pytest.mark.parametrize("verdict", [Verdict.WORSE, Verdict.UNDECIDED])
def test_nobody_advances_a_rollout_without_evidence(filled: Registry, verdict: Verdict) -> None:
    rollout = start(filled)
    before = state(filled)
    with pytest.raises(RolloutNotReady):
        rolling_out.advance(filled, rollout.id, assess(rollout, verdict), ANNE)
    assert state(filled) == before


def test_evidence_passes_its_stage_once(filled: Registry) -> None:
    rollout = start(filled)
    evidence = assess(rollout)
    rolling_out.advance(filled, rollout.id, evidence, AUTHOR)
    with pytest.raises(RolloutNotReady, match="stage 0"):
        rolling_out.advance(filled, rollout.id, evidence, AUTHOR)


def test_a_paused_rollout_is_paused_once_and_resumed_once(filled: Registry) -> None:
    tell(filled, "ops")
    rollout = start(filled)

    paused = rolling_out.pause(filled, rollout.id, WHY, ANNE)
    assert (paused.is_paused, paused.points, paused.stage) == (True, 0, 0)
    assert rolling_out.pause(filled, rollout.id, WHY, ANNE) == paused
    with pytest.raises(RolloutNotReady, match="paused"):
        rolling_out.advance(filled, rollout.id, assess(paused), AUTHOR)
    assert rolling_out.resume(filled, rollout.id, WHY, ANNE) == rollout
    assert rolling_out.resume(filled, rollout.id, WHY, ANNE) == rollout

    actions = [(one.action, one.is_paused) for one in filled.store.rollout_changes(rollout.id)]
    assert actions == [("start", False), ("pause", True), ("resume", False)]
    assert [one.type for one in told(filled, "ops")] == [
        "rollout.started", "rollout.paused", "rollout.resumed",
    ]  # fmt: skip


ENDS: dict[str, tuple[Callable[[Registry, str], Rollout], Phase, EventType]] = {
    "abort": (
        lambda registry, one: rolling_out.abort(registry, one, WHY, ANNE),
        Phase.ABORTED, EventType.ROLLOUT_ABORTED,
    ),
    "roll_back": (
        lambda registry, one: rolling_out.roll_back(registry, one, WHY, ANNE),
        Phase.ROLLED_BACK, EventType.ROLLOUT_ROLLED_BACK,
    ),
    "expire": (
        lambda registry, one: rolling_out.expire(registry, one, WHY, ANNE),
        Phase.EXPIRED, EventType.ROLLOUT_EXPIRED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_rollout_ends_it_once_and_gives_its_share_back(
    filled: Registry, name: str
) -> None:
    end, phase, kind = ENDS[name]
    tell(filled, "ops", kind)
    rollout = start(filled, make_plan(steps=(step(9_999),)))

    ended = end(filled, rollout.id)

    assert (ended.phase, ended.points) == (phase, 0)
    assert ended.ended is not None
    assert filled.store.open_rollouts() == []
    assert last_record(filled).action == f"rollout.{name}"
    [event] = told(filled, "ops")
    assert event.rollback is None
    assert WHY in event.summary
    before = state(filled)
    for again, _, _ in ENDS.values():
        with pytest.raises(RolloutOver, match=phase):
            again(filled, rollout.id)
    for verb in (rolling_out.pause, rolling_out.resume):
        with pytest.raises(RolloutOver):
            verb(filled, rollout.id, WHY, ANNE)
    with pytest.raises(RolloutOver):
        rolling_out.advance(filled, rollout.id, assess(rollout), AUTHOR)
    assert rolling_out.trip(filled, rollout.id, WHY, ANNE) == ended
    assert state(filled) == before
    assert start(filled, make_plan(steps=(step(9_999),))).base == 0


def test_a_verdict_is_kept_with_what_it_did(filled: Registry) -> None:
    for end in (rolling_out.roll_back, rolling_out.expire):
        rollout = start(filled)
        evidence = assess(rollout, Verdict.WORSE)
        end(filled, rollout.id, WHY, AUTHOR, evidence)
        assert filled.store.rollout_changes(rollout.id)[-1].assessment == evidence
        assert last_record(filled).subject == digest_of(msgspec.json.encode(evidence))


def test_a_trip_rolls_back_what_is_open_in_any_phase_and_paused_too(filled: Registry) -> None:
    shadowed = start(filled, make_plan(2, shadow=step(10_000)))
    passed = pass_all(filled, start(filled, make_plan(3)))
    paused = start(filled, make_plan(4))
    rolling_out.pause(filled, paused.id, WHY, ANNE)
    for one in (shadowed, passed, paused):
        assert rolling_out.trip(filled, one.id, "5 faults", AUTHOR).phase is Phase.ROLLED_BACK


def test_a_message_of_an_open_rollout_carries_the_call_that_ends_it(filled: Registry) -> None:
    tell(filled, "ops")
    rollout = start(filled)
    rolling_out.pause(filled, rollout.id, WHY, ANNE)

    for event in told(filled, "ops"):
        call = event.rollback
        assert call is not None
        assert (call.method, call.path) == ("POST", f"/admin/rollouts/{rollout.id}/abort")
        assert call.command is not None
        assert call.command.startswith(f"gateway rollout abort {rollout.id} --reason ")
        assert event.record_id in call.body["reason"]
    rolling_out.abort(filled, rollout.id, call.body["reason"], ANNE)
    assert filled.store.open_rollouts() == []


def test_promoting_the_challenger_ends_its_rollout_as_promoted_and_others_as_aborted(
    filled: Registry,
) -> None:
    tell(filled, "ops", EventType.ROLLOUT_PROMOTED, EventType.ROLLOUT_ABORTED)
    first, second = start(filled, make_plan(2)), start(filled, make_plan(3))

    change = filled.promote("sum", 2, "it is better", ANNE)

    found = {one.id: one for one in filled.store.rollouts("sum")}
    assert (found[first.id].phase, found[second.id].phase) == (Phase.PROMOTED, Phase.ABORTED)
    assert found[first.id].ended == change.at
    ends = [filled.store.rollout_changes(one.id)[-1] for one in (first, second)]
    assert [one.action for one in ends] == ["promote", "abort"]
    assert ends[0].reason == "it is better"
    assert ends[1].reason == "version 2 became champion by promote: it is better"
    assert {one.principal for one in ends} == {ANNE.principal}
    events = {one.type: one for one in told(filled, "ops")}
    undo = events[EventType.ROLLOUT_PROMOTED].rollback
    assert undo is not None
    assert (undo.path, undo.body["version"]) == ("/admin/models/sum/rollback", 1)
    assert events[EventType.ROLLOUT_ABORTED].rollback is None


def test_a_champion_that_is_rolled_back_aborts_every_rollout_of_its_model(
    filled: Registry,
) -> None:
    filled.promote("sum", 2, "for a test", AUTHOR)
    for _ in range(2):
        add_version(filled, "other")
    filled.promote("other", 1, "for a test", AUTHOR)
    one, apart = start(filled, make_plan(3)), start(filled, make_plan(2), "other")

    filled.roll_back("sum", "it misbehaves", ANNE)

    assert rolling_out.find_rollout(filled.store, one.id).phase is Phase.ABORTED
    reason = filled.store.rollout_changes(one.id)[-1].reason
    assert reason == "version 1 became champion by rollback: it misbehaves"
    assert filled.store.open_rollouts() == [apart]


def test_a_challenger_that_a_rollback_makes_champion_was_not_promoted(filled: Registry) -> None:
    filled.promote("sum", 2, "for a test", AUTHOR)
    rollout = start(filled, make_plan(1))

    filled.roll_back("sum", "it misbehaves", ANNE)

    assert filled.store.aliases("sum") == {"champion": 1}
    assert rolling_out.find_rollout(filled.store, rollout.id).phase is Phase.ABORTED


def test_an_alias_of_the_users_own_ends_no_rollout(filled: Registry) -> None:
    rollout = start(filled)
    filled.point_alias("sum", "blue", 2, "for a test", AUTHOR)
    assert filled.store.open_rollouts() == [rollout]


def test_a_challenger_is_not_retired_before_its_rollout_is_over(filled: Registry) -> None:
    rollout = start(filled)
    with pytest.raises(VersionInRollout, match=rollout.id):
        filled.retire("sum", 2, WHY, ANNE)
    rolling_out.abort(filled, rollout.id, WHY, ANNE)
    assert filled.retire("sum", 2, WHY, ANNE).state is VersionState.RETIRED


def test_what_passed_every_stage_is_promoted_and_nothing_else_is(filled: Registry) -> None:
    rollout = start(filled)
    with pytest.raises(RolloutNotReady, match="not every stage"):
        rolling_out.finish_promoted(filled, rollout.id, WHY, AUTHOR)
    passed = pass_all(filled, rollout)
    assert passed.points == 2_500

    promoted = rolling_out.finish_promoted(filled, rollout.id, WHY, AUTHOR)

    assert promoted.phase is Phase.PROMOTED
    assert filled.store.aliases("sum") == {"champion": 2}
    with pytest.raises(RolloutOver):
        rolling_out.finish_promoted(filled, rollout.id, WHY, AUTHOR)


def test_a_promotion_that_is_held_leaves_a_passed_rollout_as_it_is(
    filled: Registry,
) -> None:
    passed = pass_all(filled, start(filled))
    find(filled)
    drift.set_drift_policy(filled, "sum", HOLD, AUTHOR)
    with pytest.raises(PromotionHeld):
        rolling_out.finish_promoted(filled, passed.id, WHY, AUTHOR)
    assert rolling_out.find_rollout(filled.store, passed.id) == passed
    assert filled.store.aliases("sum") == {"champion": 1}


def test_verbs_on_a_rollout_that_is_none_say_so(filled: Registry) -> None:
    for verb in (rolling_out.pause, rolling_out.abort, rolling_out.trip, rolling_out.roll_back):
        with pytest.raises(RolloutNotFound, match="'none'"):
            verb(filled, "none", WHY, ANNE)
    with pytest.raises(ModelNotFound):
        rolling_out.rollouts(filled, "none")


def test_a_verb_needs_a_reason(filled: Registry) -> None:
    rollout = start(filled)
    for verb in (rolling_out.pause, rolling_out.resume, rolling_out.abort, rolling_out.trip,
                 rolling_out.roll_back, rolling_out.expire):  # fmt: skip
        with pytest.raises(InvalidRequest, match="reason"):
            verb(filled, rollout.id, " ", ANNE)


@pytest.fixture
def reopened(tmp_path: Path) -> Iterator[Callable[[], Registry]]:
    opened: list[Registry] = []

    def reopen() -> Registry:
        for one in opened:
            one.store.close()
        opened.append(open_registry(tmp_path / "again"))
        return opened[-1]

    yield reopen
    opened[-1].store.close()


def test_a_rollout_goes_on_where_it_was_after_a_restart(reopened: Callable[[], Registry]) -> None:
    registry = reopened()
    for _ in range(2):
        add_version(registry, "sum")
    registry.promote("sum", 1, "for a test", AUTHOR)
    rollout = start(registry, make_plan(guards=(ERRORS,), shadow=step(10)))
    rollout = rolling_out.advance(registry, rollout.id, assess(rollout), AUTHOR)

    registry = reopened()

    assert registry.store.open_rollouts() == [rollout]
    assert pass_all(registry, rollout).phase is Phase.PASSED
