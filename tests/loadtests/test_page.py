"""The page about benchmarks shows the result that it names, and knows every server and workload."""

import re

import pytest

from loadtests.docs import PAGE, describe, insert
from loadtests.errors import LoadTestError
from loadtests.report import HEADINGS
from loadtests.results import FORMAT, RESULTS, Written, read
from loadtests.subjects import all_subjects
from loadtests.workloads import WORKLOADS
from tests.loadtests.builders import line

WRITTEN = Written(
    format=FORMAT,
    at="2026-02-02T10:00:00+00:00",
    machine={"cpu": "A", "cores": 2, "system": "Linux", "python": "3.11.7"},
    versions={"C++": {"g++": "12.2.0"}},
    method="",
    closed_s=3,
    opened_s=3,
    rounds=2,
    lines=[line(2.0), line(None, subject="KServe", fault="not installed")],
    sessions=[],
)


def test_the_page_shows_the_result_that_it_names() -> None:
    page = PAGE.read_text()
    for name in re.findall(r"results/(bench-\w+\.json)", page):
        content = (RESULTS / name).read_bytes()
        assert insert(page, describe(read(content, name), name)) == page


def test_the_page_explains_every_server_and_every_workload() -> None:
    page = PAGE.read_text()
    for one in [*all_subjects(), *WORKLOADS]:
        assert f"| {one.name} |" in page


def test_every_row_of_the_section_has_every_column_and_gaps_have_reasons() -> None:
    section = describe(WRITTEN, "bench-x.json")
    rows = [row for row in section.splitlines() if row.startswith("|")]
    assert {row.count("|") for row in rows} == {len(HEADINGS) + 1}
    assert "- KServe: not installed" in section


def test_a_section_replaces_the_one_before() -> None:
    page = "a\n<!-- result -->\nold\n<!-- end of result -->\nb\n"
    assert insert(page, "new\n") == "a\n<!-- result -->\nnew\n<!-- end of result -->\nb\n"
    with pytest.raises(LoadTestError):
        insert("a page without a place", "new")
