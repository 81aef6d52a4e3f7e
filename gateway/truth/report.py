"""How good the answers of a version were, as values; pure. JSON and tables show these alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from math import ceil

from msgspec import Struct

from gateway.truth.calibration import Calibration, calibrate
from gateway.truth.expected import Expected
from gateway.truth.intervals import Interval, of_mean, sequence_of_mean, sequence_of_share, wilson
from gateway.truth.ranking import Ranking, rank
from gateway.truth.scoring import Scored
from gateway.truth.slices import Part
from registry.rollouts import MetricKind
from registry.truth_policy import Target


class Lacking(StrEnum):
    """Why nothing can be said of a time."""

    TARGET = "no_target"  # the version has no output that the truth policy names
    ANSWERS = "no_answers"
    LABELS = "no_labels"
    SCORES = "nothing_scorable"


class Estimate(Struct, frozen=True, kw_only=True):
    """The mean of a metric over rows.

    `interval` is of this one look at a closed cohort: Wilson's for accuracy, else the normal one;
    None of fewer than two rows. `sequence` holds however often it is looked at, and is the one to
    act on; None of fewer than 500 rows.
    """

    metric: MetricKind
    value: float
    rows: int
    interval: Interval | None
    sequence: Interval | None


class Coverage(Struct, frozen=True, kw_only=True):
    """How many of the answers of a time have a label, of one row at least."""

    answers: int
    labelled: int
    share: float
    interval: Interval

    @classmethod
    def of(cls, labelled: int, answers: int) -> "Coverage":
        answers = max(answers, labelled)  # a record in the journal is counted a moment later
        share = labelled / answers if answers else 0.0
        return cls(
            answers=answers, labelled=labelled, share=share, interval=wilson(labelled, answers)
        )


class Scores(Struct, frozen=True, kw_only=True):
    """The labelled rows of a time: how many were scored, why others were not, and what came out."""

    coverage: Coverage
    rows: int
    scored: int
    unscorable: dict[str, int]
    estimates: tuple[Estimate, ...]


class Cohort(Struct, frozen=True, kw_only=True):
    """The answers given from `start` on, up to the next cohort: coverage, and the first metric."""

    start: datetime
    coverage: Coverage
    estimate: Estimate | None


class Delay(Struct, frozen=True, kw_only=True):
    """How long after the answers their first labels came, in seconds: quantiles over rows.

    `late` is the share that came after the horizon, which changed what had been scored for good.
    """

    rows: int
    median_s: float
    p90_s: float
    p99_s: float
    late: float


class Arrivals(Struct, frozen=True, kw_only=True):
    """What came as feedback in the time up to now.

    `repeated` said again what was known, `corrected` changed it, `refused` counts by reason:
    `record-not-found` are labels that match no answer.
    """

    batches: int
    new: int
    repeated: int
    corrected: int
    refused: dict[str, int]


class Asked(Struct, frozen=True, kw_only=True):
    """What a report is of: answers of a version on one lane or, where that is None, on all."""

    model: str
    version: int
    lane: str | None
    window: str
    since: datetime
    matured_until: datetime
    until: datetime
    horizon_s: float


class TruthReport(Struct, frozen=True, kw_only=True):
    """How good answers were.

    `matured` are the answers from `since` up to `matured_until`, whose labels had `horizon_s`
    seconds to come; all that follows is of them. `provisional` are those after that: of the labels
    that come first one class is often more frequent, so what is there is no sample of what will be,
    and nothing is concluded from it. `expected` is no measurement either.
    """

    model: str
    version: int
    lane: str | None
    window: str
    since: datetime
    matured_until: datetime
    until: datetime
    horizon_s: float
    target: Target | None
    lacking: Lacking | None
    verdict: str
    matured: Scores
    cohorts: tuple[Cohort, ...]
    ranking: Ranking | None
    calibration: Calibration | None
    slices: tuple[Part, ...]
    delay: Delay | None
    arrivals: Arrivals
    provisional: Scores
    expected: Expected | None


def estimate(metrics: Sequence[MetricKind], rows: Sequence[Scored]) -> tuple[Estimate, ...]:
    """Return the mean of each metric over rows, which are in the order of time."""
    if not rows:
        return ()
    return tuple(
        _estimate(metric, [row.values[place] for row in rows])
        for place, metric in enumerate(metrics)
    )


def _estimate(metric: MetricKind, values: Sequence[float]) -> Estimate:
    total = sum(values)
    is_share, hits = metric is MetricKind.ACCURACY, int(total)
    return Estimate(
        metric=metric,
        value=total / len(values),
        rows=len(values),
        interval=wilson(hits, len(values)) if is_share else of_mean(values),
        sequence=sequence_of_share(hits, values) if is_share else sequence_of_mean(values),
    )


def delays(seconds: Sequence[float], horizon_s: float) -> Delay | None:
    """Describe how long labels took; None where there are none."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    median, p90, p99 = (ordered[ceil(q * len(ordered)) - 1] for q in (0.5, 0.9, 0.99))
    late = sum(one > horizon_s for one in ordered) / len(ordered)
    return Delay(rows=len(ordered), median_s=median, p90_s=p90, p99_s=p99, late=late)


def make_report(
    asked: Asked,
    *,
    target: Target | None,
    matured: Scores,
    rows: Sequence[Scored],
    cohorts: Iterable[Cohort],
    slices: Sequence[Part],
    delay: Delay | None,
    arrivals: Arrivals,
    provisional: Scores,
    expected: Expected | None,
) -> TruthReport:
    """Put a report together; `rows` are the matured ones that were scored, in the order of time."""
    lacking = _lacking(target, matured)
    return TruthReport(
        **{name: getattr(asked, name) for name in Asked.__struct_fields__},
        target=target,
        lacking=lacking,
        verdict=_verdict(lacking, matured),
        matured=matured,
        cohorts=tuple(cohorts),
        ranking=rank(rows),
        calibration=calibrate(rows),
        slices=tuple(slices),
        delay=delay,
        arrivals=arrivals,
        provisional=provisional,
        expected=expected,
    )


def _lacking(target: Target | None, matured: Scores) -> Lacking | None:
    if target is None:
        return Lacking.TARGET
    if not matured.coverage.answers:
        return Lacking.ANSWERS
    if not matured.rows:
        return Lacking.LABELS
    return None if matured.scored else Lacking.SCORES


def _verdict(lacking: Lacking | None, matured: Scores) -> str:
    """Say in one sentence how good the answers were."""
    match lacking:
        case Lacking.TARGET:
            return "The version has no output that the truth policy can be held against."
        case Lacking.ANSWERS:
            return "Nothing was answered in the time whose labels are due."
        case Lacking.LABELS:
            return "No label has come of the answers whose labels are due."
        case Lacking.SCORES:
            return f"None of the {matured.rows:,} labelled rows can be scored."
    first = matured.estimates[0]
    span = (
        ""
        if first.interval is None
        else f" ({first.interval.low:.4g} to {first.interval.high:.4g})"
    )
    return (
        f"{in_words(first.metric).capitalize()} {first.value:.4g}{span} over {matured.scored:,}"
        f" rows; {matured.coverage.share:.1%} of {matured.coverage.answers:,} answers have labels."
    )


_WORDS: Mapping[MetricKind, str] = {
    MetricKind.ACCURACY: "accuracy",
    MetricKind.BRIER: "Brier score",
    MetricKind.LOG_LOSS: "log loss",
    MetricKind.ABSOLUTE_ERROR: "absolute error",
    MetricKind.SQUARED_ERROR: "squared error",
}


def in_words(metric: MetricKind) -> str:
    """Name a metric for people."""
    return _WORDS[metric]
