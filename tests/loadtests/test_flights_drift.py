"""What the page about drift says of real flights is what is found in them."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest

from gateway.demo.flights import VERSION_2_MONTHS, train
from gateway.monitor.cells import Side
from gateway.monitor.detector import Finding
from gateway.monitor.layout import Layout
from loadtests.flights_drift import (
    PAGE,
    POLICIES,
    Traffic,
    Truth,
    check,
    count,
    fly,
    report,
    table_of_findings,
    watch,
)
from registry.distribution import Reference

BEGAN = datetime(2013, 7, 1, 5, tzinfo=UTC)
ENDED = datetime(2013, 7, 1, 8, tzinfo=UTC)
CERTAIN = 7  # columns that later months do not change


@pytest.fixture(scope="module")
def trained() -> tuple[bytes, Reference]:
    artifact, draft = train(VERSION_2_MONTHS)
    assert draft.reference is not None
    return artifact, draft.reference


def committed() -> str:
    [written] = re.findall(
        r"<!-- result -->\n(.*)<!-- end of result -->", PAGE.read_text(), re.DOTALL
    )
    return str(written)


def columns(line: str) -> list[str]:
    return line.strip("| ").split(" | ")[:CERTAIN]


def test_what_the_page_says_of_july_is_what_is_found(trained: tuple[bytes, Reference]) -> None:
    artifact, reference = trained
    traffic = fly(artifact, [7])
    [policy, _] = POLICIES.values()

    episodes, _ = watch(Layout.of(reference), count(artifact, reference, traffic), policy)

    truth = Truth(traffic, reference)
    [_, _, *found] = table_of_findings([check(one, truth, policy) for one in episodes])
    table = committed().split("\n\n")[1].splitlines()
    of_july = [line for line in table if re.match(r"\| \d\d Jul", line)]
    assert len(of_july) > 5
    assert list(map(columns, found)) == list(map(columns, of_july))


@pytest.mark.torture
def test_what_the_page_says_is_what_is_found(trained: tuple[bytes, Reference]) -> None:
    assert committed() == "\n".join(["", *report(*trained), ""])


def finding(name: str, statistic: str, column: int | None = None) -> Finding:
    return Finding(
        side=Side.INPUT, input=name, column=column, statistic=statistic, expected=0, observed=1,
        rows=1, since=BEGAN, at=ENDED, e_value=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "statistic", "share"),
    [
        ("x", "share at or below 2", 2 / 3),
        ("x", "share above 2", 1 / 3),
        ("x", "share between 1 and 3.5", 2 / 3),
        ("x", "share of 1", 1 / 3),
        ("x", "missing", 1 / 4),
        ("t", "share of AA", 1 / 2),
    ],
)
def test_a_true_share_is_that_of_the_values_in_its_time(
    name: str, statistic: str, share: float
) -> None:
    when = np.array([f"2013-07-01T0{hour}:00" for hour in (4, 5, 6, 7, 8, 9)], "datetime64[m]")
    x = np.array([[9], [1], [2], [np.nan], [3.25], [9]], np.float32)
    t = np.array([["ZZ"], ["AA"], ["AA"], ["B6"], ["B6"], ["ZZ"]], object)
    truth = Truth(Traffic(when, {"x": x, "t": t}, {}), Reference(rows=1, features=()))

    assert truth.share(finding(name, statistic), BEGAN, ENDED) == pytest.approx(share)
