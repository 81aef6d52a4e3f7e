"""A report of drift in a terminal: a table, worst first, and what is open."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.drift.report import DriftReport, FeatureReport
from gateway.drift.words import (
    finding_in_words,
    missing,
    number,
    percent,
    what_it_is_of,
)
from gateway.monitor.comparison import Level
from registry.console import can_print, printable
from registry.portrait import sparkline

_COLOURS = {Level.MATERIAL: "bold red", Level.SIGNIFICANT: "yellow", Level.NONE: "green"}
_MOST_BARS = 20
_MOST_RECORDS = 3


def print_report(console: Console, report: DriftReport) -> None:
    """Print a report; nothing in it can steer the terminal."""
    colour = "yellow" if report.level is None else _COLOURS[report.level]
    console.print(Text(printable(report.verdict), colour))
    console.print(Text(printable(what_it_is_of(report))))
    if report.features:
        console.print(_table(report))
    for line in _findings(report):
        console.print(Text(printable(line)), soft_wrap=True)


def _table(report: DriftReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("feature", overflow="fold")
    table.add_column("difference", no_wrap=True)
    for heading in ("JS", "CDF", "missing", "unseen"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("training, now below", no_wrap=True)
    is_ascii = not can_print(sparkline(range(9)))
    for feature in report.worst_first():
        level = feature.comparison.level
        table.add_row(
            Text(printable(feature.name)),
            Text(level, _COLOURS[level]),
            number(feature.comparison.js_distance),
            number(feature.comparison.cdf_difference),
            missing(feature, between="\n"),
            percent(feature.comparison.unseen),
            _bars(feature, is_ascii=is_ascii),
        )
    return table


def _bars(feature: FeatureReport, *, is_ascii: bool) -> Text:
    """Draw the shares of training over those of now, on one scale."""
    bins = _joined(feature)
    both = [*(expected for expected, _ in bins), *(observed for _, observed in bins)]
    drawn = sparkline(both, is_ascii=is_ascii)
    return Text.assemble((drawn[: len(bins)], "dim"), "\n", drawn[len(bins) :])


def _joined(feature: FeatureReport) -> Sequence[tuple[float, float]]:
    """Join neighbouring bins until the line is short enough; of unordered ones, leave the rest."""
    bins = [(one.expected, one.observed) for one in feature.bins]
    if not feature.is_ordered:
        return sorted(bins, reverse=True)[:_MOST_BARS]
    size = -(-len(bins) // _MOST_BARS) or 1  # rounded up
    parts = (bins[start : start + size] for start in range(0, len(bins), size))
    return [(sum(b for b, _ in part), sum(n for _, n in part)) for part in parts]


def _findings(report: DriftReport) -> Iterator[str]:
    if not report.findings:
        return
    yield ""
    for finding in report.findings:
        yield f"{finding.state}: {finding_in_words(finding)}"
        if finding.records:
            yield f"  records: {', '.join(finding.records[:_MOST_RECORDS])}"
    if report.rollback is not None:
        yield f"One step puts the champion before back: {report.rollback.command}"
