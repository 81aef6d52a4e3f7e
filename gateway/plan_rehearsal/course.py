"""The course that a rollout would have taken: judged each second of recorded time. Pure.

Nothing is decided here that service decides in another way: evidence is counted, judged and
followed by the same code.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from gateway.canaries import MOST_FAULTS
from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.rollout.verdict import assess, conclude
from gateway.rollout.words import why_undecided, why_worse
from registry.phases import Action, follow, passing
from registry.rollouts import Assessment, GuardKind, Phase, Rollout, Verdict

# What no recorded request can say: how fast the challenger would have been, and what was true.
UNJUDGED = {
    GuardKind.LATENCY: "nothing recorded says how long the challenger would have taken",
    GuardKind.TRUTH: "labels are of what callers were answered",
}
_SECOND = timedelta(seconds=1)


class Met(Struct, frozen=True):
    """What one request shows in a stage: nothing where the challenger is not compared by it.

    `was_run` says whether the challenger ran. `fault` is the code that it failed a caller with whom
    the champion answered, `is_answered` whether it answered.
    """

    facts: tuple[Facts, ...] = ()
    was_run: bool = False
    fault: str | None = None
    is_answered: bool = False


class StageCourse(Struct, frozen=True, kw_only=True):
    """What became of one stage.

    Of `requests` that came meanwhile the challenger ran `challenger`. It was judged `looks` times,
    last with `assessment`. `action` is what followed; None where the traffic ended first.
    """

    name: str
    began: datetime
    ended: datetime
    requests: int
    challenger: int
    looks: int
    action: Action | None
    reason: str
    assessment: Assessment


class _Stage:
    """What was counted of the present stage, and when it was looked at."""

    def __init__(self, rollout: Rollout, bins: Mapping[int, int]) -> None:
        self.layout = Layout.of(rollout.plan, rollout.stage, bins)
        self.tally = Tally(self.layout, rollout.edges_us)
        self.requests = self.challenger = 0
        self.faults = 0  # in a row
        self.looks = 0
        self.looked = rollout.entered
        self.judged = 0  # requests of the challenger at the last look

    def add(self, met: Met) -> None:
        self.requests += 1
        self.challenger += met.was_run
        for facts in met.facts:
            self.tally.add(facts)
        if met.is_answered:
            self.faults = 0
        elif met.fault is not None:
            self.faults += 1


class Course:
    """One rollout, from its start on."""

    def __init__(self, rollout: Rollout, bins: Mapping[int, int]) -> None:
        """`bins` has for each guard of a shift, by index, how many bins it has."""
        self.rollout = rollout
        self._bins = bins
        self._done: list[StageCourse] = []
        self._last = rollout.entered
        self._stage = _Stage(rollout, bins)

    @property
    def is_decided(self) -> bool:
        """Whether nothing more is to come: every stage is passed, or the rollout is over."""
        return self.rollout.phase is Phase.PASSED or self.rollout.phase.is_over

    def take(self, met: Met, at: datetime) -> None:
        """Count a request that came at a time. `wait` until then first."""
        self._last = max(self._last, at)
        stage = self._stage
        stage.add(met)
        if stage.faults == MOST_FAULTS:
            self._leave(Action.ROLL_BACK, _why_tripped(met), self._assess(at))

    def wait(self, until: datetime) -> None:
        """Let time go by, and judge each second of it in which something may follow."""
        while not self.is_decided:
            due = self._due()
            if due is None or due > until:
                return
            self._look(due)

    def end(self) -> tuple[StageCourse, ...]:
        """Let the traffic end: return what became of every stage that was begun."""
        self.wait(self._last + _SECOND)
        if not self.is_decided:
            assessment = self._assess(self._last)
            self._note(None, f"the traffic ends; {_why_open(assessment)}", assessment)
        return tuple(self._done)

    def _due(self) -> datetime | None:
        """Return the next look at which there is something new: a block, or a time that is over."""
        rollout, plan = self.rollout, self.rollout.plan
        least = timedelta(seconds=plan.stages[rollout.stage].min_s)
        ends = (rollout.entered + least, rollout.started + timedelta(seconds=plan.max_s))
        news = [end for end in ends if end >= self._stage.looked]
        if self._stage.tally.counts[1] != self._stage.judged:
            news.append(self._last)
        return self._tick(min(news)) if news else None

    def _tick(self, moment: datetime) -> datetime:
        """Return the first whole second since the start that is after a moment."""
        started = self.rollout.started
        return started + ((moment - started) // _SECOND + 1) * _SECOND

    def _look(self, at: datetime) -> None:
        self._stage.looks += 1
        self._stage.looked, self._stage.judged = at, self._stage.tally.counts[1]
        rollout, assessment = self.rollout, self._assess(at)
        if assessment.verdict is Verdict.WORSE:
            self._leave(Action.ROLL_BACK, why_worse(assessment), assessment)
        elif (at - rollout.started).total_seconds() >= rollout.plan.max_s:
            reason = f"no decision in {rollout.plan.max_s:,.0f} s; {_why_open(assessment)}"
            self._leave(Action.EXPIRE, reason, assessment)
        elif assessment.verdict is Verdict.NON_INFERIOR:
            action = passing(rollout, assessment)
            reason = f"the challenger was no worse on {assessment.requests:,} requests"
            self._leave(action, reason, assessment)

    def _assess(self, at: datetime) -> Assessment:
        """Judge by the guards that can be; each has its share of alpha as in service."""
        found = assess(self.rollout, self._stage.layout, self._stage.tally.counts, {}, at)
        judged = tuple(one for one in found.judgements if one.guard.kind not in UNJUDGED)
        return conclude(self.rollout, judged, found.requests, at)

    def _leave(self, action: Action, reason: str, assessment: Assessment) -> None:
        self._note(action, reason, assessment)
        self.rollout = follow(self.rollout, action, assessment.at)
        if not self.is_decided:
            self._stage = _Stage(self.rollout, self._bins)

    def _note(self, action: Action | None, reason: str, assessment: Assessment) -> None:
        self._done.append(
            StageCourse(
                name=self.rollout.stage_name,
                began=self.rollout.entered,
                ended=assessment.at,
                requests=self._stage.requests,
                challenger=self._stage.challenger,
                looks=self._stage.looks,
                action=action,
                reason=reason,
                assessment=assessment,
            )
        )


def _why_tripped(met: Met) -> str:
    return f"the challenger failed {MOST_FAULTS} requests in a row, the last with `{met.fault}`"


def _why_open(assessment: Assessment) -> str:
    if not assessment.judgements:
        return "none of its guards can be rehearsed"
    return why_undecided(assessment)
