"""A report of drift as a page: one file that needs no network, on a screen and on paper."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

import gateway
from gateway.drift.chart import draw, legend, short
from gateway.drift.report import DriftReport, FeatureReport, Share
from gateway.drift.words import (
    finding_in_words,
    missing,
    number,
    percent,
    what_it_is_of,
)
from gateway.monitor.comparison import Level
from gateway.page.document import write_document
from gateway.page.markup import Child, Markup, element, join
from gateway.page.parts import Line, mark, moment, table
from registry.findings import Finding, FindingState

_MOST_RECORDS = 3
_STYLE = Path(__file__).with_name("page.css")
_KINDS = {Level.MATERIAL: "bad", Level.SIGNIFICANT: "warn", Level.NONE: "good"}
_HEAD = (
    "feature", "difference", "JS distance", "largest CDF difference", "missing", "unseen", "PSI",
)  # fmt: skip
_MEANINGS = (
    ("Difference", "significant: more than chance, p below 0.05; material: that, and an effect of"
     " 0.05 or more."),
    ("JS distance", "how far two distributions are apart: 0 is the same, 1 nothing in common"
     " (Jensen-Shannon, to base 2)."),
    ("Largest CDF difference", "the largest difference between the shares of all values up to one"
     " of them."),
    ("Effect", "the largest difference of any share that is told."),
    ("PSI", "population stability index, told because many know it; it grows where rows are few."),
    ("p", "how often chance alone would differ as much, in view of the number of features"
     " (chi-square, Benjamini-Hochberg)."),
)  # fmt: skip


def write_page(report: DriftReport) -> bytes:
    """Write a report as HTML that carries the same content as JSON, `<script id="drift">`."""
    title = f"Drift of {report.model} version {report.version}"
    sections = (_findings(report), _overview(report), _cards(report), _meanings(report))
    body = element("body", _header(report), *sections, _footer(report))
    data = msgspec.json.encode(report)
    return write_document(
        title, body, data_id="drift", data=data, style=_STYLE.read_text(encoding="utf-8")
    )


def _header(report: DriftReport) -> Markup:
    levels = [one.comparison.level for one in report.features]
    material, other = levels.count(Level.MATERIAL), levels.count(Level.SIGNIFICANT)
    opened = len(report.open_findings)
    said = "cannot be told" if report.lacking else f"{material} of {len(levels)} features"
    kind = "warn" if report.lacking else "bad" if material else "good"
    return element(
        "header",
        element("div", f"Drift of {report.model}, last {report.window}", class_="kicker"),
        element("h1", report.verdict),
        element("p", f"{what_it_is_of(report)}."),
        element(
            "div",
            mark("Material differences", said, kind),
            mark("Others, significant", str(other), "warn" if other else "good"),
            mark("Open findings", str(opened), "bad" if opened else "good"),
            mark("Rows", f"{report.rows:,}", "warn" if report.lacking else "good"),
            class_="marks",
        ),
    )


def _findings(report: DriftReport) -> Markup:
    if not report.findings:
        return element(
            "section",
            element("h2", "Findings"),
            element("p", "No detector found anything in this time.", class_="soft"),
        )
    lines = [_finding(one) for one in report.findings]
    return element(
        "section",
        element("h2", "Findings"),
        table(("", "what was found", "rows"), lines),
        _rollback(report),
    )


def _finding(finding: Finding) -> Line:
    is_open = finding.state is FindingState.OPEN
    tag = element("span", finding.state.value, class_=f"tag {'bad' if is_open else 'good'}")
    records = [element("code", one) for one in finding.records[:_MOST_RECORDS]]
    look_at = element("div", "records: ", *_spaced(records), class_="soft small")
    told = join(finding_in_words(finding), look_at if records else None)
    return tag, told, element("span", f"{finding.rows:,}", class_="whole")


def _spaced(parts: Sequence[Markup]) -> list[Child]:
    return [child for part in parts for child in (part, " ")]


def _rollback(report: DriftReport) -> Markup | None:
    if report.rollback is None:
        return None
    return join(
        element("p", "One step puts the champion before back:"),
        element("pre", report.rollback.command),
    )


def _overview(report: DriftReport) -> Markup | None:
    if not report.features:
        return None
    lines = [
        (
            one.name, _tag(one), number(one.comparison.js_distance, ".3f"),
            number(one.comparison.cdf_difference, ".3f"), missing(one),
            percent(one.comparison.unseen), number(one.comparison.psi, ".3f"),
        )
        for one in report.worst_first()
    ]  # fmt: skip
    return element("section", element("h2", "All features, worst first"), table(_HEAD, lines))


def _cards(report: DriftReport) -> Markup | None:
    if not report.features:
        return None
    return element(
        "section",
        element("h2", "Feature by feature"),
        legend(),
        element("div", *(_card(one) for one in report.worst_first()), class_="cards"),
    )


def _card(feature: FeatureReport) -> Markup:
    found = feature.comparison
    told = (
        f"JS {found.js_distance:.3f}",
        f"PSI {found.psi:.3f}",
        f"effect {found.effect:.3f}",
        f"p {_p(found.p_adjusted)}",
    )
    words = [element("span", one, class_="whole") for one in told]
    return element(
        "article",
        element("h3", feature.name, _tag(feature)),
        draw(feature),
        _numbers(feature),
        element("p", *_spaced(words), class_="soft small"),
        element(
            "details",
            element("summary", "All shares"),
            table(("", "reference", "now"), [_share(one) for one in feature.bins]),
        )
        if feature.bins
        else None,
        class_="card",
    )


def _numbers(feature: FeatureReport) -> Markup:
    lines: list[Line] = [
        (one.what, f"{one.expected:.4g}", f"{one.observed:.4g}")
        for one in (feature.mean, feature.std)
        if one is not None
    ]
    lines += map(_share, feature.counts)
    return table(("", "reference", "now"), lines) if lines else join()


def _share(share: Share) -> Line:
    return short(share.what), percent(share.expected), percent(share.observed)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _tag(feature: FeatureReport) -> Markup:
    level = feature.comparison.level
    return element("span", level, class_=f"tag {_KINDS[level]}")


def _meanings(report: DriftReport) -> Markup | None:
    if not report.features:
        return None
    told = (join(element("dt", name), element("dd", text)) for name, text in _MEANINGS)
    return element("section", element("h2", "What the numbers mean"), element("dl", *told))


def _footer(report: DriftReport) -> Markup:
    return element(
        "footer",
        f"Made for {moment(report.until)} with governed-gateway {gateway.VERSION}. Each feature is"
        " looked at by itself: a change in how features go together is seen in the joint distance"
        " alone. This file is whole: it loads nothing, and carries everything it shows as JSON in"
        " the element ",
        element("code", "script#drift"),
        ".",
    )
