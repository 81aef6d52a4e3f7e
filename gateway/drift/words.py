"""What reports of drift say, alike on pages and in terminals."""

from gateway.drift.report import DriftReport, FeatureReport
from gateway.drift.telling import sentence
from gateway.monitor.cells import MISSING
from registry.findings import Finding, FindingState


def percent(share: float) -> str:
    """Write a share for people.

    >>> percent(0.2132), percent(0), percent(0.0001)
    ('21.3 %', '0 %', '< 0.1 %')
    """
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{share:.1%}".removesuffix("%").removesuffix(".0") + " %"


def number(value: float | None, form: str = ".2f") -> str:
    """Write a number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def missing(feature: FeatureReport, between: str = " → ") -> str:
    """Say which share is missing, after the one in training where that was another."""
    for one in feature.counts:
        if one.what == MISSING:
            before, now = percent(one.expected), percent(one.observed)
            return now if before == now else f"{before}{between}{now}"
    return "–"


def finding_in_words(finding: Finding) -> str:
    """Say what was found, and what became of it."""
    if finding.state is FindingState.OPEN or finding.ended is None:
        return f"{finding.feature}: {sentence(finding)}"
    how = f"{finding.state.value} {finding.ended:%Y-%m-%d %H:%M} UTC"
    return f"{finding.feature}: {sentence(finding)}; {how}"


def what_it_is_of(report: DriftReport) -> str:
    """Say which traffic a report is of."""
    times = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    return (
        f"{report.model}, version {report.version}, lane {report.lane}: {report.rows:,} rows from"
        f" {times}, against a reference of {report.reference_rows:,} rows"
    )
