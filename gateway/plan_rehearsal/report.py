"""Rehearses a plan: what would have become of it, stage by stage."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from gateway.plan_rehearsal.course import UNJUDGED, Course, StageCourse
from gateway.plan_rehearsal.lanes import Lanes
from gateway.plan_rehearsal.recorded import CALLERS, Request
from gateway.rollout.words import guard_name
from registry.phases import first_phase
from registry.rollouts import Phase, Plan, Rollout

_ID = "rehearsed"


class Unjudged(Struct, frozen=True, kw_only=True):
    """A guard that recorded requests cannot be judged by, and why."""

    guard: str
    why: str


class PlanRehearsal(Struct, frozen=True, kw_only=True):
    """What would have become of a plan.

    Of `records` requests to the champion `taken` were used; `untaken` counts by the reason those
    that could not be, and `left` came when all was decided. `phase` is how the rollout stood then.
    `callers` says what they are known by, where the plan has steps, whose shares are of callers.
    """

    model: str
    champion: int
    challenger: int
    salt: str
    phase: Phase
    records: int
    taken: int
    untaken: dict[str, int]
    left: int
    unjudged: tuple[Unjudged, ...]
    callers: str | None
    stages: tuple[StageCourse, ...]


def rehearsed_rollout(model: str, champion: int, plan: Plan, salt: str, at: datetime) -> Rollout:
    """Return a rollout as a plan would begin it, which is in no store."""
    return Rollout(
        id=_ID,
        model=model,
        champion=champion,
        plan=plan,
        phase=first_phase(plan),
        stage=0,
        salt=salt,
        base=0,
        edges_us=(0,) * len(plan.guards),
        author=_ID,
        reason=_ID,
        started=at,
        entered=at,
    )


def rehearse_plan(
    rollout: Rollout, lanes: Lanes, requests: Iterable[Request | str], records: int
) -> PlanRehearsal:
    """Let requests come in the order of time, the first of which starts a rollout, to its end.

    `records` says how many there are.
    """
    untaken: Counter[str] = Counter()
    course: Course | None = None
    taken = 0
    for request in requests:
        if isinstance(request, str):
            untaken[request] += 1
            continue
        at = request.at
        if course is None:
            course = Course(replace(rollout, started=at, entered=at), lanes.bins)
        course.wait(at)
        if course.is_decided:
            break
        course.take(lanes.meet(request, course.rollout), at)
        taken += 1
    stages = () if course is None else course.end()
    plan = rollout.plan
    return PlanRehearsal(
        model=rollout.model,
        champion=rollout.champion,
        challenger=plan.challenger,
        salt=rollout.salt,
        phase=(rollout if course is None else course.rollout).phase,
        records=records,
        taken=taken,
        untaken=dict(untaken),
        left=records - taken - untaken.total(),
        unjudged=tuple(
            Unjudged(guard=guard_name(guard), why=UNJUDGED[guard.kind])
            for guard in plan.guards
            if guard.kind in UNJUDGED
        ),
        callers=CALLERS if plan.steps else None,
        stages=stages,
    )
