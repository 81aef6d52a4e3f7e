"""A planned change of champion, and what it showed, as frozen values. Times are UTC.

Shares of traffic are points of 10,000. A rollout has stages, numbered from 0: first the shadow, if
the plan has one, then each of its steps. What was counted in one stage is never mixed with another.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

POINTS = 10_000


class GuardKind(StrEnum):
    """What a guard compares between challenger and champion."""

    ERRORS = "errors"  # requests that the gateway or the version failed
    REFUSALS = "refusals"  # requests that the version's contract refused
    LATENCY = "latency"  # requests slower than a quantile of the champion's before the start
    SHIFT = "shift"  # where in the reference's bins an output lies
    AGREEMENT = "agreement"  # paired answers that are not the same; in shadow only
    SCORE = "score"  # the mean of an output
    TRUTH = "truth"  # the mean of a metric, from ground truth


# What can be compared while the challenger answers nobody, and what once it answers some: in shadow
# it refuses nothing, its latency is not that of answers, and only there answers come in pairs.
IN_SHADOW = frozenset(GuardKind) - {GuardKind.REFUSALS, GuardKind.LATENCY}
IN_CANARY = frozenset(GuardKind) - {GuardKind.AGREEMENT}


class Better(StrEnum):
    """Which of two means is the better one."""

    HIGHER = "higher"
    LOWER = "lower"
    EQUAL = "equal"  # neither may be far from the other


class MetricKind(StrEnum):
    """What a row is scored by; a metric is the mean over rows."""

    ACCURACY = "accuracy"  # 1 where the class is right
    BRIER = "brier"  # squared distance of the probability, summed over more than two classes
    LOG_LOSS = "log_loss"  # -ln of the probability of the true class, clipped
    ABSOLUTE_ERROR = "absolute_error"
    SQUARED_ERROR = "squared_error"

    @property
    def better(self) -> Better:
        return Better.HIGHER if self is MetricKind.ACCURACY else Better.LOWER


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One comparison that must not come out worse, declared before the rollout starts.

    `margin` is what the challenger is allowed. Of errors, refusals, latency and shift it is a ratio
    of rates above 1: of agreement the share of paired answers that may differ; of a score or a
    metric how far its mean may fall behind, in its own unit. `output` and `column` name the number
    that is compared (the first output's only or last column where they are not given, which of a
    classifier is the positive class). `quantile` is that of the latency. Two numbers agree within
    `tolerance`. `better` says which mean is the better. `metric` is one of the ground truth's.
    """

    kind: GuardKind
    margin: float
    output: str | None = None
    column: int | None = None
    quantile: float = 0.95
    edge_ms: float | None = None
    tolerance: float = 0.0
    better: Better = Better.HIGHER
    metric: str | None = None

    @property
    def compared(self) -> tuple[object, ...]:
        """What it compares, as its name says; another margin makes no other guard of it."""
        return (self.kind, self.output, self.column, round(self.quantile, 6), self.metric)

    def judges(self, *, is_shadow: bool) -> bool:
        """Say whether it has a say in a stage of this sort; one that has none is not waited for."""
        return self.kind in (IN_SHADOW if is_shadow else IN_CANARY)


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A share of traffic, and how many requests of the challenger and seconds it lasts at least."""

    points: int
    min_requests: int = 1_000
    min_s: float = 600.0


class Finish(StrEnum):
    """What follows when every stage has been passed."""

    REQUEST = "request"  # a promotion is asked for, and the canary goes on until it is decided
    PROMOTE = "promote"  # the challenger is promoted, if the policy of the model lets it


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a challenger meets traffic, and what it must not be worse in.

    `alpha` is the chance that a challenger which is not worse is rolled back, over all guards and
    looks. After `max_s` without a verdict the rollout expires; it never promotes. `segment` names
    the request parameter by whose values paired answers are counted apart.
    """

    challenger: int
    guards: tuple[Guard, ...]
    shadow: Step | None = None
    steps: tuple[Step, ...] = ()
    alpha: float = 0.05
    max_s: float = 7 * 86_400.0
    segment: str | None = None
    finish: Finish = Finish.REQUEST

    @property
    def stages(self) -> tuple[Step, ...]:
        return self.steps if self.shadow is None else (self.shadow, *self.steps)

    @property
    def most_points(self) -> int:
        """The greatest share that the challenger ever answers for."""
        return max((step.points for step in self.steps), default=0)


class Phase(StrEnum):
    """The state of a rollout."""

    SHADOW = "shadow"  # the challenger answers nobody
    CANARY = "canary"  # it answers some callers
    PASSED = "passed"  # every stage is passed: it answers as in the last one, until decided
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"  # it was worse, or failed
    ABORTED = "aborted"  # a person ended it
    EXPIRED = "expired"  # there was no verdict in time

    @property
    def is_over(self) -> bool:
        return self not in {Phase.SHADOW, Phase.CANARY, Phase.PASSED}


class Rollout(Struct, frozen=True, kw_only=True):
    """A rollout as it stands.

    `id` is that of the record of its start. The challenger answers for the callers whose points,
    under `salt`, lie from `base` on, as many as the stage has. `edges_us` has for each guard the
    latency that it counts beyond, 0 for other guards. `entered` is when the stage began. While it
    is paused the challenger meets no traffic.
    """

    id: str
    model: str
    champion: int
    plan: Plan
    phase: Phase
    stage: int
    salt: str
    base: int
    edges_us: tuple[int, ...]
    author: str
    reason: str
    started: datetime
    entered: datetime
    is_paused: bool = False
    ended: datetime | None = None

    @property
    def points(self) -> int:
        """The share of callers that the challenger answers now; none after a shadow alone."""
        if self.is_paused or self.is_shadow or self.phase not in {Phase.CANARY, Phase.PASSED}:
            return 0
        return self.plan.stages[self.stage].points

    @property
    def shadow_points(self) -> int:
        """The share of requests that the challenger shadows now."""
        if self.is_paused or self.phase is not Phase.SHADOW:
            return 0
        return self.plan.stages[self.stage].points

    @property
    def is_shadow(self) -> bool:
        """Whether the present stage is the shadow's."""
        return self.plan.shadow is not None and self.stage == 0

    @property
    def is_last_stage(self) -> bool:
        return self.stage == len(self.plan.stages) - 1

    @property
    def stage_name(self) -> str:
        """Name the present stage for people, as in `step 2 of 3 (25 %)`."""
        share = f"({self.plan.stages[self.stage].points * 100 / POINTS:g} %)"
        if self.is_shadow:
            return f"shadow {share}"
        number = self.stage + (self.plan.shadow is None)
        return f"step {number} of {len(self.plan.steps)} {share}"

    def evidence_lane(self, stage: int) -> str:
        """Name what is counted in a stage, among the windows of the challenger."""
        return f"evidence:{self.id}:{stage}"


class Verdict(StrEnum):
    """How the challenger stands to the champion."""

    WORSE = "worse"
    NON_INFERIOR = "non_inferior"
    UNDECIDED = "undecided"


class Judgement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one guard says, with the numbers that it says it by.

    `evidence_worse` and `evidence_fine` are e-values as natural logarithms; `low` and `high` the
    ends of the interval of a mean's difference, challenger less champion. `challenger` and
    `champion` are how many requests (pairs, labels) each had, `events` how many of them counted
    against each. `dispersion` is what the logarithms were divided by.
    """

    guard: Guard
    verdict: Verdict
    challenger: int
    champion: int
    events: tuple[int, int] | None = None
    evidence_worse: float | None = None
    evidence_fine: float | None = None
    low: float | None = None
    high: float | None = None
    dispersion: float = 1.0


class TruthEvidence(Struct, frozen=True, kw_only=True):
    """What ground truth says of a metric, in blocks of labels that both lanes have.

    A block has the difference of two means, challenger less champion: `sum` adds them over so many
    blocks, `squares` their squares. `challenger` and `champion` are the labels of each lane.
    """

    blocks: int
    sum: float
    squares: float
    challenger: int
    champion: int


class Assessment(Struct, frozen=True, kw_only=True):
    """What all guards of a rollout said at a time, of one stage."""

    at: datetime
    stage: int
    verdict: Verdict
    requests: int
    judgements: tuple[Judgement, ...]


class RolloutChange(Struct, frozen=True, kw_only=True):
    """One entry of a rollout's history: what it became, who or what made it so, and on what.

    `record_id` is the audit record's; `assessment` is None where nothing was judged.
    """

    rollout: str
    phase: Phase
    stage: int
    action: str
    at: datetime
    principal: str
    reason: str
    record_id: str
    is_paused: bool = False
    assessment: Assessment | None = None
