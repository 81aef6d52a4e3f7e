"""A truth report in a terminal."""

from collections.abc import Collection, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.drift.words import number, percent
from gateway.truth.intervals import Interval
from gateway.truth.report import Estimate, Scores, TruthReport, in_words
from gateway.truth.slices import Part
from registry.console import printable

_FORM = ".4g"
_OF_SLICES = ("measure", "value")  # the widest columns, beside the name of the slice


def print_truth(console: Console, report: TruthReport) -> None:
    """Print a report; nothing in it can steer the terminal."""
    console.print(Text(printable(report.verdict), "yellow" if report.lacking else "bold"))
    console.print(Text(printable(_what_it_is_of(report))), soft_wrap=True)
    if report.matured.estimates:
        console.print(_metrics(report))
    for line in (*_counts(report), *_judgements(report)):
        console.print(Text(printable(line)), soft_wrap=True)
    if report.calibration is not None:
        console.print(_reliability(report))
    if report.slices:
        console.print(_slices(report))
    if len(report.cohorts) > 1:
        console.print(_cohorts(report))


def _what_it_is_of(report: TruthReport) -> str:
    lane = "all lanes" if report.lane is None else f"lane {report.lane}"
    times = f"{report.since:%Y-%m-%d %H:%M} to {report.matured_until:%Y-%m-%d %H:%M} UTC"
    return (
        f"{report.model}, version {report.version}, {lane}: answers from {times}, whose labels had"
        f" {report.horizon_s:,.0f} s to come"
    )


def _metrics(report: TruthReport) -> Table:
    table = _table("metric", "value", "95 % interval", "to act on", "rows")
    for one in report.matured.estimates:
        table.add_row(
            in_words(one.metric), number(one.value, _FORM), _ends(one.interval),
            _ends(one.sequence), f"{one.rows:,}",
        )  # fmt: skip
    if report.ranking is not None:
        rows = report.ranking.positives + report.ranking.negatives
        table.add_row(
            "AUC", number(report.ranking.auc, _FORM), _ends(report.ranking.interval), "–",
            f"{rows:,}",
        )  # fmt: skip
    return table


def _counts(report: TruthReport) -> Iterator[str]:
    yield from _coverage("due", report.matured)
    if report.provisional.rows:
        yield from _coverage("provisional", report.provisional)
        for one in report.provisional.estimates[:1]:
            yield f"provisional: {_in_short(one)}; of labels that came first, so no sample of all"
    delay = report.delay
    if delay is not None:
        yield (
            f"delay: half within {delay.median_s:,.0f} s, 90 % within {delay.p90_s:,.0f} s, 99 %"
            f" within {delay.p99_s:,.0f} s; {percent(delay.late)} after the horizon"
        )
    came = report.arrivals
    refused = ", ".join(f"{count:,} {code}" for code, count in sorted(came.refused.items()))
    yield (
        f"came: {came.new:,} labels in {came.batches:,} batches, {came.repeated:,} repeated,"
        f" {came.corrected:,} corrected, refused: {refused or 'none'}"
    )


def _coverage(what: str, scores: Scores) -> Iterator[str]:
    cover = scores.coverage
    yield (
        f"{what}: {cover.labelled:,} of {cover.answers:,} answers have labels"
        f" ({percent(cover.share)}), {scores.scored:,} of {scores.rows:,} rows are scored"
    )
    for why, count in sorted(scores.unscorable.items()):
        yield f"  {count:,} rows cannot be: {why}"


def _judgements(report: TruthReport) -> Iterator[str]:
    calibration = report.calibration
    if calibration is not None:
        said = "are off, beyond chance" if calibration.is_off else "may be calibrated"
        yield (
            f"probabilities {said}: evidence {calibration.evidence:.2f}, where chance passes"
            f" {calibration.limit:.2f} in at most 5 % of cases"
        )
    expected = report.expected
    if expected is not None:
        value = "nothing, too few labels" if expected.value is None else f"{expected.value:.4g}"
        yield (
            f"not due yet, {in_words(expected.metric)} {expected.assumes}: {value}"
            f" {_ends(expected.interval)} over {expected.rows:,} rows; an estimate, no measurement"
        )


def _reliability(report: TruthReport) -> Table:
    table = _table("probability", "said", "was", "95 % interval", "rows")
    assert report.calibration is not None
    for one in report.calibration.bins:
        table.add_row(
            f"{one.low:.1f} to {one.high:.1f}", f"{one.said:.3f}", f"{one.was:.3f}",
            _ends(one.interval), f"{one.rows:,}",
        )  # fmt: skip
    return table


def _slices(report: TruthReport) -> Table:
    # Numbers have no positive class.
    has_classes = any(part.says_positive is not None for part in report.slices)
    says = ["says positive"] if has_classes else []
    table = _table("slice", "rows", *says, "measure", "value", "rest", "p", wraps=_OF_SLICES)
    for part in report.slices:
        for name, rows, *rest in _part(part):
            says = [_says_positive(part)] if has_classes else []
            table.add_row(*(Text(printable(cell)) for cell in (name, rows, *says, *rest)))
    return table


def _says_positive(part: Part) -> str:
    return "–" if part.says_positive is None else percent(part.says_positive)


def _part(part: Part) -> Iterator[tuple[str, ...]]:
    name = f"{part.slice}: {part.value}"
    if part.insufficient:
        yield name, f"{part.rows:,}", "insufficient", "–", "–", "–"
    for one in part.measures:
        mark = " differs" if one.differs else ""
        yield (
            name, f"{one.rows:,}", one.name.replace("_", " ") + mark,
            f"{one.value:.4g} {_ends(one.interval)}", number(one.rest, _FORM),
            number(one.p_adjusted, ".3f"),
        )  # fmt: skip


def _cohorts(report: TruthReport) -> Table:
    table = _table("answered from", "answers", "labelled", "metric", "95 % interval")
    for one in report.cohorts:
        found = one.estimate
        table.add_row(
            f"{one.start:%Y-%m-%d %H:%M}", f"{one.coverage.answers:,}",
            percent(one.coverage.share), "–" if found is None else _in_short(found),
            "–" if found is None else _ends(found.interval),
        )  # fmt: skip
    return table


def _table(*headings: str, wraps: Collection[str] = ()) -> Table:
    """Make a table whose first column, and those that wrap, give way in a narrow terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for place, heading in enumerate(headings):
        table.add_column(
            heading,
            justify="right" if place else "left",
            no_wrap=place > 0 and heading not in wraps,
            overflow="fold",
        )
    return table


def _in_short(one: Estimate) -> str:
    return f"{in_words(one.metric)} {one.value:.4g}"


def _ends(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.low:.4g} to {interval.high:.4g}"
