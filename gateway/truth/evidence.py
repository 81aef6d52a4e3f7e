"""What ground truth says of a challenger while it is rolled out, for its guards.

Only rows whose labels are due count: of those that come first, one class is often more frequent.
Means are taken over blocks of rows that were answered at the same time, so what changes for both
lanes alike changes no difference. A shadow's rows are paired with those of the answers that it ran
beside; the label is that of the answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from gateway.truth.answers import Answers, shadows
from gateway.truth.intervals import BLOCK_ROWS, block_means
from gateway.truth.scoring import Scored
from registry.labels import KeptLabel
from registry.reader import Reader
from registry.records import Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.rollouts import GuardKind, MetricKind, Rollout, TruthEvidence
from registry.times import from_us
from registry.truth_policy import TruthPolicy, metrics_of, truth_policy

METRICS = frozenset(MetricKind)
MOST_LABELS = 100_000  # of a rollout; those of its beginning, where there are more
_KEPT_FOR = timedelta(seconds=10)
# The journal of a shadow comes into the store in order, but for so long.
_OVERLAP = timedelta(minutes=1)


class LaneRow(Struct, frozen=True, gc=False):
    """A metric of a row, and which of two lanes answered it."""

    is_challenger: bool
    value: float


def unpaired(rows: Iterable[LaneRow]) -> TruthEvidence:
    """Compare two lanes over blocks of time, each of which has 25 rows of either lane or more.

    The rows are in the order of time. Those before the challenger's first are left out.
    """
    sums, counts = [0.0, 0.0], [0, 0]
    differences: list[float] = []
    challenger = champion = 0
    has_begun = False
    for row in rows:
        has_begun = has_begun or row.is_challenger
        if not has_begun:
            continue
        sums[row.is_challenger] += row.value
        counts[row.is_challenger] += 1
        if min(counts) >= BLOCK_ROWS:
            differences.append(sums[True] / counts[True] - sums[False] / counts[False])
            champion, challenger = champion + counts[False], challenger + counts[True]
            sums, counts = [0.0, 0.0], [0, 0]
    return _evidence(differences, challenger, champion)


def paired(differences: Sequence[float]) -> TruthEvidence:
    """Compare pairs of rows, challenger less champion, in the order of time, in blocks of 25."""
    means = block_means(differences)
    whole = len(means) * BLOCK_ROWS
    return _evidence(means, whole, whole)


def _evidence(means: Sequence[float], challenger: int, champion: int) -> TruthEvidence:
    return TruthEvidence(
        blocks=len(means),
        sum=sum(means),
        squares=sum(one * one for one in means),
        challenger=challenger,
        champion=champion,
    )


class TruthReader:
    """Reads evidence for the guards of all open rollouts. Its results depend on the store alone."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._rollouts: dict[str, RolloutTruth] = {}

    def evidence(self, rollout: Rollout, at: datetime) -> dict[int, TruthEvidence]:
        """Return what is known at a time for each guard of ground truth, as `RolloutTruth` does."""
        if not any(guard.kind is GuardKind.TRUTH for guard in rollout.plan.guards):
            return {}
        reader = self._rollouts.setdefault(rollout.id, RolloutTruth(self._registry))
        return reader.evidence(rollout, at)

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        """Forget what was read of other rollouts."""
        present = {one.id for one in rollouts}
        self._rollouts = {key: one for key, one in self._rollouts.items() if key in present}


class _Known(Struct, frozen=True, gc=False):
    """What was read of a labelled row of an answer; it has no score where nothing can be said."""

    version: int | None
    lane: str | None
    rollout: str | None
    is_rescue: bool  # the champion answered, since the challenger had failed
    scored: Scored | None


class RolloutTruth:
    """Reads evidence for the guards of one rollout, at most every ten seconds anew.

    A row is scored once, and again where its label is corrected.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._policy = TruthPolicy()
        self._known: dict[tuple[str, int, datetime], _Known] = {}
        self._twins: dict[str, str] = {}
        self._twins_since: datetime | None = None
        self._read_at: datetime | None = None
        self._stage = -1
        self._found: dict[int, TruthEvidence] = {}

    def evidence(self, rollout: Rollout, at: datetime) -> dict[int, TruthEvidence]:
        """Return what is known at a time for each guard of ground truth, by its place in the plan.

        That of the shadow's stage is of pairs, that of all others of lanes. Raises StoreUnavailable
        and what reading a manifest raises.
        """
        is_old = self._read_at is None or at - self._read_at >= _KEPT_FOR
        if is_old or self._stage != rollout.stage:
            self._found = self._read(rollout, at)
            self._read_at, self._stage = at, rollout.stage
        return self._found

    def _read(self, rollout: Rollout, at: datetime) -> dict[int, TruthEvidence]:
        guards = {
            place: MetricKind(guard.metric)
            for place, guard in enumerate(rollout.plan.guards)
            if guard.kind is GuardKind.TRUTH and guard.metric in METRICS
        }
        if not guards:
            return {}
        with self._registry.store.snapshot() as view:
            policy = truth_policy(view, rollout.model)
            if policy != self._policy:
                self._policy = policy
                self._known.clear()
            answers = Answers(self._registry, view, rollout.model, policy)
            until = at - timedelta(seconds=policy.horizon_s)
            kept = view.labels(rollout.model, since=rollout.started, until=until, limit=MOST_LABELS)
            if rollout.is_shadow:
                self._follow_shadows(view, rollout, at)
            return {
                place: self._compare(answers, kept, rollout, metric)
                for place, metric in guards.items()
            }

    def _compare(
        self, answers: Answers, kept: Sequence[KeptLabel], rollout: Rollout, metric: MetricKind
    ) -> TruthEvidence:
        champion = _place(answers, rollout.champion, metric)
        challenger = _place(answers, rollout.plan.challenger, metric)
        if champion is None or challenger is None:
            return paired(())
        places = (champion, challenger)
        if rollout.is_shadow:
            return paired(list(self._differences(answers, kept, rollout, places)))
        return unpaired(self._lane_rows(answers, kept, rollout, places))

    def _differences(
        self,
        answers: Answers,
        kept: Sequence[KeptLabel],
        rollout: Rollout,
        places: tuple[int, int],
    ) -> Iterator[float]:
        """Yield by how much the shadow's row is above the one that was answered."""
        for one in kept:
            twin = self._twins.get(one.label.record_id)
            if twin is None:
                continue
            live = self._row(answers, one.label.record_id, one)
            shadow = self._row(answers, twin, one)
            if live is None or live.version != rollout.champion or live.scored is None:
                continue
            if shadow is not None and shadow.scored is not None:
                yield shadow.scored.values[places[1]] - live.scored.values[places[0]]

    def _lane_rows(
        self,
        answers: Answers,
        kept: Sequence[KeptLabel],
        rollout: Rollout,
        places: tuple[int, int],
    ) -> Iterator[LaneRow]:
        for one in kept:
            row = self._row(answers, one.label.record_id, one)
            if row is None or row.scored is None:
                continue
            if row.lane == Lane.CANARY and row.rollout == rollout.id:
                yield LaneRow(is_challenger=True, value=row.scored.values[places[1]])
            elif (
                row.lane == Lane.CHAMPION and row.version == rollout.champion and not row.is_rescue
            ):
                yield LaneRow(is_challenger=False, value=row.scored.values[places[0]])

    def _row(self, answers: Answers, record_id: str, kept: KeptLabel) -> _Known | None:
        key = (record_id, kept.label.row, kept.at)
        if key not in self._known:
            head = answers.heading(record_id)
            if head is None:
                return None  # it may come yet
            found = answers.score(answers.read(head), kept.label)
            self._known[key] = _Known(
                head.version,
                head.lane,
                head.rollout,
                is_rescue=head.canary_error is not None,
                scored=found if isinstance(found, Scored) else None,
            )
        return self._known[key]

    def _follow_shadows(self, view: Reader, rollout: Rollout, at: datetime) -> None:
        """Learn which answers the challenger ran beside, as far as that is new."""
        wanted = RecordFilter(
            model=rollout.model, version=rollout.plan.challenger, lane=Lane.SHADOW,
            kind=Kind.INFERENCE, outcome=Outcome.ANSWERED,
            since=self._twins_since or rollout.started, until=at,
        )  # fmt: skip
        newest = dict(shadows(view, wanted))
        self._twins.update(newest)
        if newest:
            newest_ms = max(UUID(one).int >> 80 for one in newest.values())
            self._twins_since = from_us(newest_ms * 1000) - _OVERLAP


def _place(answers: Answers, version: int, metric: MetricKind) -> int | None:
    """Return where a version's scores have a metric; None where they have not."""
    target = answers.target(version)
    metrics = () if target is None else metrics_of(target)
    return metrics.index(metric) if metric in metrics else None
