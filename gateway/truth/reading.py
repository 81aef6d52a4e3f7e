"""Reads what a truth report is made of: labels, the answers they are of, and counts of both."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from gateway.drift.period import Period
from gateway.drift.reading import add_up
from gateway.monitor.cells import Side
from gateway.monitor.layout import Layout
from gateway.truth.answers import Answer, Answers, shadows
from gateway.truth.expected import Expected, expect
from gateway.truth.report import (
    Arrivals,
    Asked,
    Cohort,
    Coverage,
    Scores,
    TruthReport,
    delays,
    estimate,
    make_report,
)
from gateway.truth.scoring import Scored, Unscorable
from gateway.truth.slices import Part, SlicedRow, compare_parts
from registry.distribution import Numeric, Reference
from registry.errors import AliasNotFound, InvalidRequest
from registry.labels import KeptLabel
from registry.reader import Reader
from registry.records import Kind, Lane, Outcome, RecordFilter
from registry.registry import Registry
from registry.times import from_us, to_us
from registry.truth_policy import Target, TruthPolicy, metrics_of, truth_policy
from registry.versions import CHAMPION
from registry.windows import Span

MOST_LABELS = 100_000  # of a report: as many take about ten seconds
_MOST_COHORTS = 31
_COHORTS = [timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7)]
_EPOCH = from_us(0)


class _Row(Struct, frozen=True, gc=False):
    """A labelled row of what is asked for; `slices` has a value for each that is declared."""

    record_id: str
    time_us: int
    delay_s: float
    result: Scored | Unscorable
    slices: tuple[str, ...]


def read_truth(
    registry: Registry,
    model: str,
    period: Period,
    *,
    at: datetime,
    version: int | None = None,
    lane: Lane | None = None,
    is_matured_only: bool = False,
) -> TruthReport:
    """Report on answers whose labels were due in the time before `at`, and on those still open.

    Of a version, by default the champion, on a lane, by default all but the shadow. What matured
    alone is read where only that is wanted: then there is nothing provisional. Raises
    ModelNotFound, VersionNotFound, AliasNotFound where there is no champion, and InvalidRequest
    where there are more labels than a report holds.
    """
    with registry.store.snapshot() as view:
        champion = view.aliases(model).get(CHAMPION)
        number = champion if version is None else version
        if number is None:
            registry.versions(model)  # a model that there is none of is told as such
            raise AliasNotFound(model, CHAMPION)
        policy = truth_policy(view, model)
        matured_until = at - timedelta(seconds=policy.horizon_s)
        asked = Asked(
            model=model, version=number, lane=lane, window=period.text,
            since=matured_until - period.length, matured_until=matured_until, until=at,
            horizon_s=policy.horizon_s,
        )  # fmt: skip
        manifest = registry.manifest(registry.version(model, number))
        reading = _Reading(registry, view, asked, policy, manifest.reference)
        return reading.report(until=matured_until if is_matured_only else at)


class _Reading:
    """One report under way, over one state of the store."""

    def __init__(
        self,
        registry: Registry,
        view: Reader,
        asked: Asked,
        policy: TruthPolicy,
        reference: Reference | None,
    ) -> None:
        self._view = view
        self._asked = asked
        self._policy = policy
        self._reference = reference
        self._answers = Answers(registry, view, asked.model, policy)
        self._target = self._answers.target(asked.version)
        self._metrics = () if self._target is None else metrics_of(self._target)

    def report(self, until: datetime) -> TruthReport:
        asked = self._asked
        border = to_us(asked.matured_until)
        rows = list(self._rows(until))
        matured = [one for one in rows if one.time_us < border]
        scored = [one.result for one in matured if isinstance(one.result, Scored)]
        return make_report(
            asked,
            target=self._target,
            matured=self._scores(matured, asked.since, asked.matured_until),
            rows=scored,
            cohorts=self._cohorts(matured),
            slices=self._slices(matured),
            delay=delays([one.delay_s for one in matured], asked.horizon_s),
            arrivals=self._arrivals(),
            provisional=self._scores(
                [one for one in rows if one.time_us >= border],
                asked.matured_until,
                asked.until,
            ),
            expected=self._expected(scored),
        )

    def _rows(self, until: datetime) -> Iterator[_Row]:
        """Yield the labelled rows of the version and lane, in the order of time."""
        asked = self._asked
        kept = self._view.labels(asked.model, since=asked.since, until=until, limit=MOST_LABELS + 1)
        if len(kept) > MOST_LABELS:
            raise InvalidRequest(
                "window", f"More than {MOST_LABELS:,} rows have labels: ask for a shorter window."
            )
        twins = self._twins() if asked.lane == Lane.SHADOW else None
        for one in kept:
            record_id = one.label.record_id
            own = record_id if twins is None else twins.get(record_id, "")
            heading = self._answers.heading(own)
            if heading is not None and self._is_asked(heading.version, heading.lane):
                yield self._row(self._answers.read(heading), one)

    def _row(self, answer: Answer, kept: KeptLabel) -> _Row:
        time_us = answer.heading.time_us
        return _Row(
            record_id=answer.heading.id,
            time_us=time_us,
            delay_s=max(0.0, (to_us(kept.first_at) - time_us) / 1e6),
            result=self._answers.score(answer, kept.label),
            slices=self._answers.slices(answer, kept.label),
        )

    def _is_asked(self, version: int | None, lane: str | None) -> bool:
        if version != self._asked.version:
            return False
        return lane != Lane.SHADOW if self._asked.lane is None else lane == self._asked.lane

    def _twins(self) -> dict[str, str]:
        """Map the live answers that the version shadowed to its own."""
        asked = self._asked
        wanted = RecordFilter(
            model=asked.model, version=asked.version, lane=Lane.SHADOW, kind=Kind.INFERENCE,
            outcome=Outcome.ANSWERED, since=asked.since, until=asked.until,
        )  # fmt: skip
        return dict(shadows(self._view, wanted))

    def _scores(self, rows: Sequence[_Row], since: datetime, until: datetime) -> Scores:
        results = [one.result for one in rows]
        scored = [one for one in results if isinstance(one, Scored)]
        return Scores(
            coverage=self._coverage(rows, since, until),
            rows=len(rows),
            scored=len(scored),
            unscorable=dict(Counter(one for one in results if isinstance(one, Unscorable))),
            estimates=estimate(self._metrics, scored),
        )

    def _coverage(self, rows: Sequence[_Row], since: datetime, until: datetime) -> Coverage:
        counts = self._view.answer_counts(self._asked.model, since=since, until=until)
        answers = sum(one.answers for one in counts if self._is_asked(one.version, one.lane))
        return Coverage.of(len({one.record_id for one in rows}), answers)

    def _cohorts(self, rows: Sequence[_Row]) -> Iterator[Cohort]:
        starts = _starts(self._asked.since, self._asked.matured_until)
        parted: list[list[_Row]] = [[] for _ in starts]
        for one in rows:
            at = from_us(one.time_us)
            parted[max(0, bisect_right(starts, at) - 1)].append(one)
        ends = [*starts[1:], self._asked.matured_until]
        for start, end, part in zip(starts, ends, parted, strict=True):
            scored = [one.result for one in part if isinstance(one.result, Scored)]
            first = estimate(self._metrics[:1], scored)
            coverage = self._coverage(part, start, end)
            if coverage.answers:
                yield Cohort(start=start, coverage=coverage, estimate=first[0] if first else None)

    def _slices(self, rows: Sequence[_Row]) -> Sequence[Part]:
        if not self._policy.slices or not self._metrics:
            return ()
        sliced = [
            SlicedRow(one.result, one.slices) for one in rows if isinstance(one.result, Scored)
        ]
        return compare_parts(sliced, self._policy, self._metrics[0])

    def _arrivals(self) -> Arrivals:
        batches = self._view.label_batches(
            self._asked.model, since=self._asked.since, until=self._asked.until
        )
        refused: Counter[str] = Counter()
        for one in batches:
            refused.update(one.refused)
        return Arrivals(
            batches=len(batches),
            new=sum(one.new for one in batches),
            repeated=sum(one.repeated for one in batches),
            corrected=sum(one.corrected for one in batches),
            refused=dict(refused),
        )

    def _expected(self, labelled: Sequence[Scored]) -> Expected | None:
        """Estimate the first metric over the answers whose labels are not due, by their scores."""
        if self._reference is None or self._target is None or not self._metrics:
            return None
        layout = Layout.of(self._reference)
        cells = next(
            (
                one
                for one in layout.features
                if one.side is Side.OUTPUT and _is_scored(self._target, one.input, one.column)
            ),
            None,
        )
        if cells is None or not isinstance(cells.distribution, Numeric):
            return None
        counts = self._counts(layout)
        split = cells.splits[0]
        bins = counts[split.bins.start : split.bins.stop]
        return expect(self._metrics[0], 0, labelled, split.edges, bins)

    def _counts(self, layout: Layout) -> Sequence[int]:
        asked = self._asked
        length = asked.until - asked.matured_until
        span = next((one for one in Span if one.kept_for >= length), Span.DAY)
        windows = self._view.windows(
            asked.model, asked.version, asked.lane or Lane.CHAMPION, span,
            since=asked.matured_until, until=asked.until,
        )  # fmt: skip
        return add_up(windows, layout.size)


def _is_scored(target: Target, output: str, column: int | None) -> bool:
    """Say whether a feature of the reference is what labels are held against.

    Of two classes that is the column of the positive one, which is the last unless it is named.
    """
    if output != target.output or len(target.classes) > 2:
        return False
    if column is None:
        return True
    return column == (target.column if target.column is not None else len(target.classes) - 1)


def _starts(since: datetime, until: datetime) -> list[datetime]:
    """Part a time at whole minutes, hours, days or weeks, as coarse as keeps the parts few."""
    length = until - since
    step = next((one for one in _COHORTS if length <= one * (_MOST_COHORTS - 1)), None)
    step = step or length / (_MOST_COHORTS - 1)
    first = since - (since - _EPOCH) % step + step
    starts = [since]
    while first < until:
        starts.append(first)
        first += step
    return starts
