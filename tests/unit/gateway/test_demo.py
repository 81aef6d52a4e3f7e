"""The demonstration's checks: each can fail, and does where what it promises is not so."""

from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from gateway.demo.flights import Flight, replay_rows
from gateway.demo.replay import Reply, Traffic, write_request
from gateway.demo.report import Summary
from gateway.demo.rollout import POLICY, TRUTH_POLICY, Shown, Stage, make_plan
from gateway.security import Role
from registry.plan_check import check_plan
from registry.promotion_policy import PromotionPolicy, find_fault
from registry.records import Lane
from registry.rollouts import (
    Assessment,
    Judgement,
    Phase,
    Rollout,
    RolloutChange,
    Verdict,
)
from registry.truth_policy import TruthPolicy

AT = datetime(2013, 7, 1, tzinfo=UTC)
PLAN = make_plan(2)
CANARY = Rollout(
    id="r", model="flights", champion=1, plan=PLAN, phase=Phase.CANARY, stage=1, salt="s", base=0,
    edges_us=(0, 0, 250_000, 0), author="key-1", reason="better", started=AT, entered=AT,
)  # fmt: skip
JUDGEMENT = Judgement(guard=PLAN.guards[0], verdict=Verdict.NON_INFERIOR, challenger=9, champion=9)
CHANGE = RolloutChange(
    rollout="r", phase=Phase.PASSED, stage=1, action="pass", at=AT, principal="controller",
    reason="no worse", record_id="c", assessment=Assessment(
        at=AT, stage=1, verdict=Verdict.NON_INFERIOR, requests=9, judgements=(JUDGEMENT,)
    ),
)  # fmt: skip


def reply(version: str = "1", lane: str = Lane.CHAMPION, status: int = 200) -> Reply:
    return Reply(
        status=status, record_id="r", version=version, lane=lane, flags=None, violations=(),
        latency_ms=1.0,
    )  # fmt: skip


def stage(*replies: Reply, change: RolloutChange = CHANGE) -> Stage:
    shown = Shown(rollout=CANARY, changes=[change])
    return Stage(replies=list(replies), late=[], labels=len(replies), shown=shown)


def holds(tell: Callable[[Summary], None]) -> bool:
    summary = Summary(Console(file=StringIO()))
    tell(summary)
    [check] = summary.checks
    return check.holds


CHALLENGED = [reply(), reply("2", Lane.CANARY)] * 500


def test_the_plan_and_the_policies_can_be_followed() -> None:
    check_plan(PLAN)
    policy = msgspec.convert(POLICY, PromotionPolicy)
    assert find_fault(policy, frozenset(Role)) is None
    assert policy.second_person
    assert msgspec.convert(TRUTH_POLICY, TruthPolicy).horizon_s == 1.0


def test_each_flight_is_asked_for_once_and_is_a_caller_of_its_own() -> None:
    flights = replay_rows(50, seed=1)
    traffic = Traffic(flights, seed=1)
    taken = [*traffic.take(20), *traffic.take(40)]
    assert traffic.take(1) == []
    assert sorted(number for number, _ in taken) == list(range(50))
    assert all(flights[number] is flight for number, flight in taken)
    assert [number for number, _ in taken] != list(range(50))
    request = write_request(Flight({"origin": "JFK", "hour": 9.0}, late=True), 7)
    assert (request["id"], request["parameters"]) == ("flight-7", {"origin": "JFK"})


@pytest.mark.parametrize(
    ("replies", "is_kept"),
    [
        (CHALLENGED, True),
        ([*CHALLENGED, reply(status=500)], False),
        ([*CHALLENGED, reply("3", Lane.CANARY)], False),
        ([*CHALLENGED, *[reply()] * 200], False),  # not the share that was planned
        ([], False),
    ],
)
def test_a_canary_answers_its_share_and_nobody_else(replies: list[Reply], is_kept: bool) -> None:
    assert holds(lambda summary: summary.add_canary(stage(*replies), CANARY)) is is_kept


@pytest.mark.parametrize(
    ("replies", "failed", "is_kept"),
    [([reply()], 0, True), ([reply(), reply("2", Lane.CANARY)], 0, False), ([reply()], 1, False)],
)
def test_a_shadow_answers_nobody_and_fails_nothing(
    replies: list[Reply], failed: int, is_kept: bool
) -> None:
    report: dict[str, Any] = {
        "challenger": 2, "compared": 9, "failed": failed, "outputs": [], "segments": []
    }  # fmt: skip
    assert holds(lambda summary: summary.add_shadow(stage(*replies), report)) is is_kept


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        (CHANGE, True),
        (replace(CHANGE, principal="key-1"), False),
        (replace(CHANGE, action="abort", phase=Phase.ABORTED), False),
        (replace(CHANGE, assessment=None), False),
    ],
)
def test_a_verdict_is_the_controllers_and_has_evidence(
    change: RolloutChange, is_kept: bool
) -> None:
    shown = stage(change=change).shown
    assert holds(lambda summary: summary.add_verdict(shown, "pass", Phase.PASSED)) is is_kept


@pytest.mark.parametrize(
    ("status", "code", "champion", "is_kept"),
    [
        (403, "self-approval", 1, True),
        (403, "forbidden", 1, False),
        (200, "", 2, False),
        (403, "self-approval", 2, False),
    ],
)
def test_nobody_approves_alone(status: int, code: str, champion: int, is_kept: bool) -> None:
    assert holds(lambda one: one.add_self_approval(status, code, champion)) is is_kept


@pytest.mark.parametrize(
    ("author", "is_met", "is_kept"),
    [("key-1", True, True), ("key-2", True, False), ("key-1", False, False)],
)
def test_a_request_is_of_whoever_started_it_and_has_what_is_asked(
    author: str, is_met: bool, is_kept: bool
) -> None:
    asked = {"author": author, "checks": [{"name": "rollout", "is_met": is_met}]}
    assert holds(lambda summary: summary.add_request(asked, "key-1")) is is_kept
    assert not holds(lambda summary: summary.add_request(None, "key-1"))


def test_a_broken_version_has_answered_nobody() -> None:
    assert holds(lambda summary: summary.add_harmless(stage(reply("2")), 3, 2))
    assert not holds(lambda summary: summary.add_harmless(stage(reply("2"), reply("3")), 3, 2))
    assert not holds(lambda summary: summary.add_harmless(stage(reply("2")), 3, 3))
    late = replace(stage(reply("2")), late=[reply("3")])
    assert not holds(lambda summary: summary.add_harmless(late, 3, 2))


def test_labels_of_all_flights_have_to_come() -> None:
    assert holds(lambda summary: summary.add_truth(stage(reply())))
    assert not holds(lambda summary: summary.add_truth(replace(stage(reply()), labels=0)))


def test_a_proof_that_does_not_hold_is_no_proof() -> None:
    assert holds(lambda summary: summary.add_proof(1, 2, None))
    assert not holds(lambda summary: summary.add_proof(1, 2, "another root"))
