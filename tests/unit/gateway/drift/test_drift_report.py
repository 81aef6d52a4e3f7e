"""What a report of drift is made of, and what it says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from gateway.drift.period import read_period
from gateway.drift.reading import add_up, read_report
from gateway.drift.report import DriftReport, FeatureReport, Lacking
from gateway.monitor.cells import Side
from gateway.monitor.comparison import LEAST_ROWS, Level, compare
from gateway.monitor.layout import Layout
from registry.errors import AliasNotFound, InvalidRequest, ModelNotFound, VersionNotFound
from registry.findings import FindingState
from registry.records import Lane
from registry.registry import Registry
from registry.times import to_us
from registry.windows import LaneCounts, Span, Window, WorkerCounts
from tests.builders import linear_model, publish
from tests.contracts.test_store_windows import packed
from tests.counted import let_come, normal, publish_watched
from tests.unit.registry.test_drift_policies import find

NOON = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def report(registry: Registry, window: str = "24h", **asked: Any) -> DriftReport:
    return read_report(registry, "sum", read_period(window), at=NOON, **asked)


def feature(found: DriftReport, name: str) -> FeatureReport:
    return next(one for one in found.features if one.feature == name)


def shifted(rows: int) -> Any:
    """Rows of which column 0 is half a standard deviation higher, and a fifth of 2 is missing."""
    x = normal(rows, 3)
    x[:, 0] += 0.5
    x[: rows // 5, 2] = np.nan
    return x


def test_traffic_as_in_training_is_said_to_be_so(registry: Registry) -> None:
    let_come(registry, publish_watched(registry), normal(5000, 3), NOON - HOUR)

    found = report(registry)

    assert (found.rows, found.lacking) == (5000, None)
    assert found.level is Level.NONE
    assert found.verdict == "Live traffic is as in training."
    assert [one.side for one in found.features] == [Side.INPUT] * 3 + [Side.JOINT, Side.OUTPUT]


def test_what_left_the_reference_is_told_worst_first_with_its_shares(registry: Registry) -> None:
    version = publish_watched(registry)
    let_come(registry, version, shifted(5000), NOON - HOUR)

    found = report(registry)

    reference = registry.manifest(version).reference
    assert reference is not None
    assert found.level is Level.MATERIAL
    assert {one.feature for one in found.worst_first()[:3]} >= {"x[0]", "x[2]"}
    assert "x[0]" in found.verdict
    assert "materially" in found.verdict
    for name in ("x[0]", "x[1]", "joint", "y"):
        bins = feature(found, name).bins
        assert sum(one.expected for one in bins) == pytest.approx(1)
        assert sum(one.observed for one in bins) == pytest.approx(1)
    first = feature(found, "x[0]")
    above = float((shifted(5000)[:, 0] > first.edges[-1]).mean())
    assert first.bins[-1].what == f"share above {first.edges[-1]:.6g}"
    assert first.bins[-1].observed == pytest.approx(above)
    assert first.mean is not None
    assert first.mean.observed - first.mean.expected == pytest.approx(0.5, abs=0.05)
    [missing] = [one for one in feature(found, "x[2]").counts if one.what == "missing"]
    assert (missing.expected, missing.observed) == (0, pytest.approx(0.2))


def test_comparisons_are_those_of_the_counts_of_all_windows(registry: Registry) -> None:
    version = publish_watched(registry)
    for minutes in (5, 65, 900):
        let_come(registry, version, shifted(500), NOON - timedelta(minutes=minutes))
    windows = registry.store.windows(
        "sum", 1, Lane.CHAMPION, Span.DAY, since=NOON - 48 * HOUR, until=NOON
    )
    reference = registry.manifest(version).reference
    assert reference is not None

    found = report(registry)

    layout = Layout.of(reference)
    compared = compare(layout, add_up(windows, layout.size))
    assert tuple(one.comparison for one in found.features) == compared


@pytest.mark.parametrize(
    ("rows", "lacking", "words"),
    [
        (0, Lacking.TRAFFIC, "Nothing came"),
        (LEAST_ROWS - 1, Lacking.ROWS, "Only 199 rows came in this time; 200 are needed"),
    ],
)
def test_too_little_traffic_is_said_plainly(
    registry: Registry, rows: int, lacking: Lacking, words: str
) -> None:
    version = publish_watched(registry)
    if rows:
        let_come(registry, version, shifted(rows), NOON - HOUR)

    found = report(registry)

    assert (found.lacking, found.level, found.features) == (lacking, None, ())
    assert found.rows == rows
    assert words in found.verdict


def test_a_version_without_a_reference_is_said_to_have_none(registry: Registry) -> None:
    publish(registry, "sum", linear_model())

    found = report(registry)

    assert (found.lacking, found.reference_rows) == (Lacking.REFERENCE, 0)
    assert "without a reference" in found.verdict


def test_only_the_time_the_version_and_the_lane_that_were_asked_for_count(
    registry: Registry,
) -> None:
    first, second = publish_watched(registry), publish_watched(registry, weight=2.0)
    let_come(registry, first, normal(300, 3), NOON - HOUR)
    let_come(registry, second, normal(400, 4), NOON - HOUR)
    let_come(registry, second, normal(500, 5), NOON - 3 * HOUR)
    let_come(registry, second, normal(600, 6), NOON - HOUR, Lane.PINNED)

    rows = [
        report(registry, window="24h").rows,
        report(registry, window="2h").rows,
        report(registry, version=1).rows,
        report(registry, lane=Lane.PINNED).rows,
    ]

    assert rows == [900, 400, 300, 600]


@pytest.mark.parametrize(
    ("window", "span"),
    [
        ("90m", Span.MINUTE), ("48h", Span.MINUTE), ("2d", Span.MINUTE), ("49h", Span.HOUR),
        ("90d", Span.HOUR), ("91d", Span.DAY), ("2557d", Span.DAY),
    ],
)  # fmt: skip
def test_the_finest_windows_that_are_kept_so_long_make_up_a_time(window: str, span: Span) -> None:
    period = read_period(window)

    since = period.since(NOON)

    assert period.span is span
    assert NOON - period.length <= since < NOON - period.length + span.length
    assert since.timestamp() % span.length.total_seconds() == 0


def test_a_time_that_begins_with_a_window_begins_there() -> None:
    noon = NOON.replace(second=0)
    assert read_period("24h").since(noon) == noon - 24 * HOUR


@pytest.mark.parametrize(
    "window",
    ["", "24", "h", "0h", "-1h", "1.5h", "24H", "2558d", "999999d", "9999999h", "٣h", "1w"],
)
def test_a_window_that_is_none_is_refused(window: str) -> None:
    with pytest.raises(InvalidRequest, match="as in 90m, 24h or 30d"):
        read_period(window)


def test_what_is_not_there_is_an_error(registry: Registry) -> None:
    with pytest.raises(ModelNotFound):
        report(registry)
    publish(registry, "sum", linear_model(), promote=False)
    with pytest.raises(AliasNotFound):
        report(registry)
    with pytest.raises(VersionNotFound):
        report(registry, version=2)


def test_findings_of_the_time_are_told_those_open_first(registry: Registry) -> None:
    publish_watched(registry)
    publish_watched(registry, weight=2.0)
    ended = {"state": FindingState.ENDED, "by": "controller"}
    find(registry, 2, column=0, ended=NOON - 30 * HOUR, **ended)
    find(registry, 1, column=0)
    find(registry, 2, column=1)
    find(registry, 2, column=2, ended=NOON - HOUR, **ended)

    found = report(registry)

    assert [one.feature for one in found.findings] == ["x[1]", "x[2]"]
    assert [one.feature for one in found.open_findings] == ["x[1]"]


def test_the_step_back_is_told_where_something_is_open_and_there_is_one(
    registry: Registry,
) -> None:
    publish_watched(registry)
    find(registry, 1)
    assert report(registry).rollback is None  # there is no champion before
    publish_watched(registry, weight=2.0)
    assert report(registry).rollback is None  # nothing of the champion is open
    opened = find(registry, 2)

    found = report(registry).rollback

    assert found is not None
    assert found.command is not None
    assert found.command.startswith("registry rollback sum --version 1 ")
    assert opened.id in found.command
    assert report(registry, version=1).rollback is None  # it is not champion


def test_counts_of_an_earlier_program_are_left_out(registry: Registry) -> None:
    version = publish_watched(registry)
    lane = LaneCounts("sum", 1, Lane.CHAMPION, version.manifest, packed(500, 500))
    registry.store.take([WorkerCounts("earlier", to_us(NOON - HOUR), (lane,))])

    assert report(registry).lacking is Lacking.TRAFFIC


def test_windows_of_another_layout_are_left_out_and_none_are_no_rows() -> None:
    largest = 2**62
    cells = [(1, 255, largest), (2, 1), (3, 1, largest - 1)]

    total = add_up([Window(start=NOON, counts=packed(*one)) for one in cells], 3)

    assert total == [4, 256, 2 * largest - 1]
    assert add_up([], 3) == [0, 0, 0]
