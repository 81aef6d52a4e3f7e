"""The report of drift as a page and in a terminal."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

from gateway.drift.chart import draw
from gateway.drift.page import write_page
from gateway.drift.period import read_period
from gateway.drift.reading import read_report
from gateway.drift.report import DriftReport, Share
from gateway.drift.terminal import print_report
from registry.registry import Registry
from tests.counted import let_come, normal, publish_watched
from tests.unit.registry.test_drift_policies import find

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script>\x1b[2J\u202e"
# Elements that need no end, in HTML.
_VOID = {"meta"}


class Reader(HTMLParser):
    """Collects elements, and holds the page to ending each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture
def report(registry: Registry) -> DriftReport:
    """A report of a model of which two features have left their reference, one finding is open."""
    publish_watched(registry)
    version = publish_watched(registry, weight=2.0)
    x = normal(1000, 3)
    x[:, 0] += 0.5
    x[:200, 2] = np.nan
    let_come(registry, version, x, NOON - timedelta(hours=1))
    find(registry, 2, records=("0192f7a1-7b1e-7000-8000-000000000001",))
    return read_report(registry, "sum", read_period("24h"), at=NOON)


def bars(svg: str, class_: str) -> Iterator[float]:
    """Read the heights of bars."""
    tree = ElementTree.fromstring(svg)
    for one in tree.iter("rect"):
        if one.get("class") == class_:
            yield float(one.get("height", "nan"))


def test_the_page_is_whole_and_loads_and_runs_nothing(report: DriftReport) -> None:
    page = write_page(report).decode()

    read = Reader(page)

    assert page.startswith("<!doctype html>")
    assert {"link", "img", "iframe", "object", "use", "a"}.isdisjoint(read.names)
    assert read.names.count("script") == 1
    assert 'type="application/json"' in page
    assert not [name for name, _ in read.attributes if name in ("src", "href") or name[:2] == "on"]
    assert not re.search(r"https?:|url\(|@import", page)


def test_the_page_carries_all_it_shows_as_json(report: DriftReport) -> None:
    page = write_page(report).decode()

    [data] = re.findall(r'<script type="application/json" id="drift">(.*?)</script>', page)

    assert msgspec.json.decode(data, type=DriftReport) == report
    assert report.verdict in page
    assert "missing 20.0 % where 1.0 % is expected" in page
    assert "registry rollback sum --version 1" in page
    assert page.count("<article") == page.count('role="img"') == len(report.features)


def test_bars_are_as_high_as_the_shares_on_one_scale(report: DriftReport) -> None:
    feature = report.features[0]
    svg = draw(feature)

    before, now = list(bars(svg, "before")), list(bars(svg, "now"))

    heights, shares = [*before, *now], [one.expected for one in feature.bins]
    shares += [one.observed for one in feature.bins]
    assert heights == pytest.approx([share * heights[0] / shares[0] for share in shares], abs=0.05)
    assert all(0 <= height <= 150 for height in heights)


def test_a_chart_says_in_words_what_it_shows(report: DriftReport) -> None:
    svg = draw(report.features[2])

    [title, *bars_in_words] = [one.text for one in ElementTree.fromstring(svg).iter("title")]

    assert title is not None
    assert title.startswith("x[2]: ")
    assert "missing: 0.0% in the reference, 20.0% now" in title
    assert len(bars_in_words) == len(report.features[2].bins) + 1


def test_many_values_are_drawn_as_the_largest_and_all_others(report: DriftReport) -> None:
    shares = [(i + 1) / 5050 for i in range(100)]
    bins = tuple(Share(what=f"share of v{i}", expected=s, observed=s) for i, s in enumerate(shares))
    feature = replace(report.features[0], bins=bins, edges=(), is_ordered=False, counts=())

    svg = draw(feature)

    assert len(list(bars(svg, "before"))) == 24
    assert "77 others" in svg
    assert ">v99<" in svg
    assert ">v0<" not in svg


def test_a_report_that_says_nothing_of_features_is_a_page_too(registry: Registry) -> None:
    publish_watched(registry)
    page = write_page(read_report(registry, "sum", read_period("1h"), at=NOON)).decode()

    Reader(page)

    assert "<h1>Nothing came in this time.</h1>" in page
    assert "Cannot be told" in page
    assert "<article" not in page


def test_no_text_of_a_caller_or_publisher_can_leave_its_element(report: DriftReport) -> None:
    hostile = replace(report.features[0], feature=HOSTILE, label=None)
    named = Share(what=f"share of {HOSTILE}", expected=1, observed=0)
    hostile = replace(hostile, bins=(named,), edges=(), is_ordered=False)
    found = replace(report.findings[0], statistic=HOSTILE, records=(HOSTILE,))
    spoilt = replace(report, verdict=HOSTILE, features=(hostile,), findings=(found,))

    page = write_page(spoilt).decode()

    read = Reader(page)
    assert read.names.count("script") == 1
    assert "\x1b" not in page
    [data] = re.findall(r'id="drift">(.*?)</script>', page)
    assert json.loads(data)["verdict"] == HOSTILE


def printed(report: DriftReport, width: int) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as output:
        print_report(console, report)
    return output.get()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_tells_the_worst_first(
    report: DriftReport, width: int
) -> None:
    text = printed(report, width)

    lines = text.splitlines()
    table = lines[: lines.index("")]
    assert all(len(line) <= width for line in table)
    assert report.verdict in " ".join(text.split())
    order = [text.index(name) for name in ("\nx[0]", "\nx[2]", "\nx[1]")]
    assert order == sorted(order)
    assert "open: x[0]: missing 20.0 % where 1.0 % is expected" in text
    assert "0192f7a1-7b1e-7000-8000-000000000001" in text
    assert "registry rollback sum --version 1" in text


def test_the_shares_of_training_stand_above_those_of_now(report: DriftReport) -> None:
    lines = printed(report, 120).splitlines()

    row = next(number for number, line in enumerate(lines) if line.startswith("x[2]"))

    assert lines[row].split()[4:6] == ["0", "%"]
    assert lines[row + 1].split()[:2] == ["20", "%"]
    first = next(number for number, line in enumerate(lines) if line.startswith("x[0]"))
    before, now = (lines[first + below].split()[-1] for below in (0, 1))
    assert len(before) == len(now) == 20
    assert len(set(before)) == 1  # bins of training hold as much each
    assert now[-1] == "█"
    assert now[0] < before[0]


def test_nothing_in_a_report_can_steer_the_terminal(report: DriftReport) -> None:
    found = replace(report.findings[0], statistic=HOSTILE)
    hostile = replace(report.features[0], feature=HOSTILE)
    console = Console(width=200, no_color=True)

    with console.capture() as output:
        print_report(console, replace(report, features=(hostile,), findings=(found,)))

    assert "\x1b[2J" not in output.get()
    assert "\\x1b[2J" in output.get()
