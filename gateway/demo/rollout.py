"""Rollouts of the demonstration: what must not be worse, and traffic until that is decided."""

import time
from typing import Any

import msgspec
from msgspec import Struct

from gateway.demo.replay import MODEL, SEGMENT, Reply, Traffic
from gateway.demo.served import Gateway
from registry.rollouts import (
    POINTS,
    Guard,
    GuardKind,
    Plan,
    Rollout,
    RolloutChange,
    Step,
)

# Margins for which a few thousand requests suffice: .03 is a sixth of the Brier score that these
# models have, and nobody who plans a trip minds a quarter of a second.
_GUARDS = (
    Guard(kind=GuardKind.ERRORS, margin=2.0),
    Guard(kind=GuardKind.AGREEMENT, output="probabilities", tolerance=0.3, margin=0.12),
    Guard(kind=GuardKind.LATENCY, margin=2.0, edge_ms=250.0),
    Guard(kind=GuardKind.TRUTH, margin=0.03, metric="brier"),
)
_MIN_REQUESTS = 2_000
_CANARY_POINTS = POINTS // 2
POLICY = {
    "second_person": True,
    "certificate": True,
    "rollout": {
        "shadow_requests": _MIN_REQUESTS,
        "canary_requests": _MIN_REQUESTS,
        "guards": [guard.kind for guard in _GUARDS],
    },
}
TRUTH_POLICY = {"horizon_s": 1.0}  # flights of 2013 have all landed: a label comes in a second

_BATCH = 500
# When the challenger has had so many requests in a stage, callers come more slowly.
_MANY = 4_000
_PAUSE_S = 1.0
_PATIENCE_S = 150.0


class Shown(Struct, frozen=True, kw_only=True):
    """A rollout, and all that became of it."""

    rollout: Rollout
    changes: list[RolloutChange]


class Stage(Struct, frozen=True, kw_only=True):
    """One stage as its callers saw it, and what it ended with.

    `late` are the replies of the batch in which it was decided: some of them are of the next stage.
    `labels` came of all.
    """

    replies: list[Reply]
    late: list[Reply]
    labels: int
    shown: Shown


def make_plan(challenger: int) -> Plan:
    """Plan a shadow beside all of the traffic, and a canary for half of it."""
    return Plan(
        challenger=challenger,
        guards=_GUARDS,
        shadow=Step(points=POINTS, min_requests=_MIN_REQUESTS, min_s=1.0),
        steps=(Step(points=_CANARY_POINTS, min_requests=_MIN_REQUESTS, min_s=1.0),),
        max_s=3_600.0,
        segment=SEGMENT,
    )


def start(gateway: Gateway, plan: Plan, reason: str) -> Rollout:
    """Start a rollout in the name of Ann, and wait until every worker knows of it."""
    wanted = {"plan": msgspec.to_builtins(plan), "reason": reason}
    started = gateway.call(gateway.cast.ann, "POST", f"/admin/models/{MODEL}/rollouts", json=wanted)
    gateway.wait_for_workers()
    return msgspec.convert(started, Rollout)


def meet(gateway: Gateway, traffic: Traffic, rollout: Rollout, what: str) -> Stage:
    """Send flights and what became of them, until the controller has decided on the stage.

    Without a decision it ends as it is, when the demo's patience does.
    """
    entered = (rollout.phase, rollout.stage)
    share = rollout.plan.stages[rollout.stage].points / POINTS
    replies: list[Reply] = []
    labels = 0
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        flights = traffic.take(_BATCH)
        answers = gateway.replay(flights, what)
        labels += gateway.tell_outcomes(flights, answers)
        shown = show(gateway, rollout.id)
        is_decided = (shown.rollout.phase, shown.rollout.stage) != entered
        if is_decided or time.monotonic() > deadline:
            gateway.wait_for_workers()
            return Stage(replies=replies, late=answers, labels=labels, shown=shown)
        replies += answers
        if len(replies) * share >= _MANY:
            time.sleep(_PAUSE_S)


def show(gateway: Gateway, rollout_id: str) -> Shown:
    """Show a rollout as a viewer sees it."""
    found = gateway.call(gateway.cast.viewer, "GET", f"/admin/rollouts/{rollout_id}")
    return msgspec.convert(found, Shown)


def wait_for_request(gateway: Gateway) -> dict[str, Any] | None:
    """Wait until the rollout that passed asks for its promotion; None where it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = gateway.call(
            gateway.cast.viewer, "GET", "/admin/promotions", params={"model": MODEL}
        )
        if found:
            promotion: dict[str, Any] = found[0]["promotion"]
            return promotion
        time.sleep(0.1)
    return None
