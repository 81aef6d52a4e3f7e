"""Truth reports from end to end over a registry: answers, labels, what comes out."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.drift.period import read_period
from gateway.monitor.layout import Layout, to_bytes
from gateway.truth import apart
from gateway.truth.apart import matured_scores, read_longest
from gateway.truth.reading import read_truth
from gateway.truth.report import Lacking, TruthReport
from registry import service, truth
from registry.errors import (
    AliasNotFound,
    InvalidRequest,
    ModelNotFound,
    StoreUnavailable,
    VersionNotFound,
)
from registry.manifest import Draft
from registry.promotion_evidence import TruthScore
from registry.recording import append_record
from registry.records import Lane
from registry.reference import derive_reference
from registry.registry import Registry
from registry.rollouts import MetricKind
from registry.times import to_us
from registry.truth_policy import LabelKind, Slice, TruthPolicy
from registry.versions import Version
from registry.windows import LaneCounts, WorkerCounts
from registry.workers import SettingName
from tests.builders import AUTHOR, linear_model, publish
from tests.labelled import answer, keep, say, tell

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = TruthPolicy(kind=LabelKind.CLASSES, slices=(Slice(name="site"),))


@pytest.fixture
def version(registry: Registry) -> Version:
    version = publish(registry, "sum", linear_model())
    truth.set_truth_policy(registry, "sum", POLICY, AUTHOR)
    return version


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    """When labels come."""
    clock = Clock()
    monkeypatch.setattr(truth, "now", clock)
    return clock


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def report(registry: Registry, window: str = "7d", **asked: Any) -> TruthReport:
    return read_truth(registry, "sum", read_period(window), at=NOON, **asked)


def values(found: TruthReport) -> dict[MetricKind, float]:
    return {one.metric: one.value for one in found.matured.estimates}


def test_only_answers_whose_labels_were_due_are_scored_for_good(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    old = [answer(version, say(0.9), NOON - 2 * DAY) for _ in range(10)]
    fresh = [answer(version, say(0.9), NOON - DAY / 2) for _ in range(4)]
    before = [answer(version, say(0.9), NOON - 9 * DAY)]
    ids = keep(registry, [*before, *old, *fresh])
    tell(registry, tmp_path, "sum", *((one, 1) for one in ids[:7]), *((one, 0) for one in ids[12:]))

    found = report(registry)

    assert (found.since, found.matured_until) == (NOON - 8 * DAY, NOON - DAY)
    assert values(found)[MetricKind.ACCURACY] == 1.0
    assert (found.matured.coverage.labelled, found.matured.coverage.answers) == (6, 10)
    assert found.matured.coverage.share == 0.6
    assert (found.matured.rows, found.matured.scored) == (6, 6)
    assert (found.provisional.coverage.labelled, found.provisional.coverage.answers) == (3, 4)
    assert found.provisional.estimates[0].value == 0.0
    assert "Accuracy 1 (0.6097 to 1) over 6 rows; 60.0% of 10 answers" in found.verdict


def test_a_report_is_the_same_wherever_it_is_shown(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    ids = keep(registry, [answer(version, say(0.9), NOON - 2 * DAY) for _ in range(3)])
    tell(registry, tmp_path, "sum", *((one, 1) for one in ids))

    found = report(registry)

    assert msgspec.json.decode(msgspec.json.encode(found), type=TruthReport) == found


def test_corrections_count_and_delays_are_those_of_the_first_label(
    registry: Registry, version: Version, tmp_path: Path, clock: Clock
) -> None:
    ids = keep(registry, [answer(version, say(0.9), NOON - 3 * DAY) for _ in range(4)])
    clock.now = NOON - 3 * DAY + timedelta(hours=1)
    tell(registry, tmp_path, "sum", *((one, 0) for one in ids[:3]), ("unknown", 1))
    clock.now = NOON - DAY
    tell(registry, tmp_path, "sum", (ids[0], 1), (ids[1], 0), (ids[3], 1))

    found = report(registry)

    assert values(found)[MetricKind.ACCURACY] == 0.5
    assert found.delay is not None
    assert (found.delay.rows, found.delay.median_s) == (4, pytest.approx(3600, abs=1))
    assert found.delay.p99_s == pytest.approx(2 * 86_400, abs=1)
    assert found.delay.late == 0.25
    came = found.arrivals
    assert (came.batches, came.new, came.repeated, came.corrected) == (2, 4, 1, 1)
    assert came.refused == {"record-not-found": 1}


def test_rows_that_cannot_be_scored_are_counted_by_reason(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    at = NOON - 2 * DAY
    digest, payload = answer(version, say(0.9), at, payload="digest")
    ids = keep(
        registry,
        [
            answer(version, say(0.9), at),
            (digest, None),
            (answer(version, say(0.9), at, payload="unsampled")[0], None),
            answer(version, {"z": say(0.9)["y"]}, at),
            answer(version, say(0.9), at, reduced=("y:bucket",)),
            answer(version, say(7.0), at),
        ],
    )
    assert payload.output
    tell(registry, tmp_path, "sum", *((one, 1) for one in ids))

    found = report(registry)

    assert found.matured.unscorable == {
        "payload-not-kept": 2, "no-such-output": 1, "output-reduced": 1, "not-a-score": 1,
    }  # fmt: skip
    assert (found.matured.rows, found.matured.scored) == (6, 1)


def test_what_a_report_is_of_is_chosen_by_version_and_lane(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    second = publish(registry, "sum", linear_model(2.0), promote=False)
    at = NOON - 2 * DAY
    live = keep(registry, [answer(version, say(0.9), at) for _ in range(3)])
    canary = keep(registry, [answer(second, say(0.9), at, lane=Lane.CANARY) for _ in range(2)])
    pinned = keep(registry, [answer(second, say(0.9), at, lane=Lane.PINNED)])
    shadow = [answer(second, say(0.1), at, lane=Lane.SHADOW, twin=one) for one in live]
    keep(registry, shadow)
    labelled = [*((one, 1) for one in live), *((one, 0) for one in (*canary, *pinned))]
    tell(registry, tmp_path, "sum", *labelled)

    def seen(**asked: Any) -> tuple[int, int, float]:
        found = report(registry, **asked).matured
        return found.scored, found.coverage.answers, found.estimates[0].value

    assert seen() == (3, 3, 1.0)
    assert seen(version=2) == (3, 3, 0.0)
    assert seen(version=2, lane=Lane.CANARY) == (2, 2, 0.0)
    # Its answers have the labels of those that they ran beside.
    assert seen(version=2, lane=Lane.SHADOW) == (3, 3, 0.0)


def test_cohorts_are_days_of_answers(registry: Registry, version: Version, tmp_path: Path) -> None:
    rows = [answer(version, say(0.9), NOON - n * DAY) for n in (2, 2, 4)]
    ids = keep(registry, rows)
    tell(registry, tmp_path, "sum", (ids[0], 1), (ids[2], 0))

    found = report(registry)

    midnight = NOON.replace(hour=0)
    assert [(one.start, one.coverage.answers, one.coverage.labelled) for one in found.cohorts] == [
        (midnight - 4 * DAY, 1, 1), (midnight - 2 * DAY, 2, 1),
    ]  # fmt: skip
    assert [one.estimate and one.estimate.value for one in found.cohorts] == [0.0, 1.0]


def test_slices_come_with_labels_and_from_recorded_inputs(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    slices = (Slice(name="site"), Slice(name="far", input="x", column=1, edges=(100.0,)))
    policy = msgspec.structs.replace(POLICY, slices=slices, least_rows=50, least_positives=20)
    truth.set_truth_policy(registry, "sum", policy, AUTHOR)
    rng = random.Random(1)
    rows: list[Any] = []
    labels: list[tuple[int, dict[str, str]]] = []
    for number in range(400):
        is_far = rng.random() < 0.5
        x = np.array([[0, 200 if is_far else 50, 0]], np.float32)
        rows.append(answer(version, say(0.9), NOON - 2 * DAY, inputs={"x": x}))
        labels.append((int(rng.random() < 0.5), {"site": "AB"[number % 2]}))
    ids = keep(registry, rows)
    tell(
        registry, tmp_path, "sum",
        *((one, value, 0, told) for one, (value, told) in zip(ids, labels, strict=True)),
    )  # fmt: skip

    found = report(registry)

    parts = {(one.slice, one.value): one for one in found.slices}
    assert parts.keys() == {("site", "A"), ("site", "B"), ("far", "≤ 100"), ("far", "> 100")}
    assert sum(one.rows for one in found.slices) == 800
    names = ["accuracy", "true_positive_rate", "false_positive_rate"]
    assert all([m.name for m in one.measures] == names for one in found.slices)


def test_a_report_of_two_classes_has_ranking_and_calibration(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    rng = random.Random(2)
    said = [rng.random() for _ in range(900)]
    ids = keep(registry, [answer(version, say(p), NOON - 2 * DAY) for p in said])
    labels = [(one, int(rng.random() < p)) for one, p in zip(ids, said, strict=True)]
    tell(registry, tmp_path, "sum", *labels)

    found = report(registry)

    assert found.ranking is not None
    assert 0.7 < found.ranking.interval.low < found.ranking.auc < found.ranking.interval.high < 0.9
    assert found.calibration is not None
    assert not found.calibration.is_off
    assert len(found.calibration.bins) == 10
    assert found.matured.estimates[0].sequence is not None


def test_a_version_of_numbers_is_scored_by_its_errors(registry: Registry, tmp_path: Path) -> None:
    version = publish(registry, "sum", linear_model())
    ids = keep(registry, [answer(version, say(p), NOON - 2 * DAY) for p in (1.0, 2.0)])
    tell(registry, tmp_path, "sum", (ids[0], 1.5), (ids[1], 0))

    found = report(registry)

    assert values(found) == {
        MetricKind.ABSOLUTE_ERROR: 1.25, MetricKind.SQUARED_ERROR: pytest.approx(2.125),
    }  # fmt: skip
    assert found.ranking is None
    assert found.calibration is None


def test_what_is_expected_comes_from_scores_that_are_counted_and_not_due(
    registry: Registry, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((5_000, 1)).astype(np.float32)
    x = rng.normal(size=(100, 3)).astype(np.float32)
    reference = derive_reference({"x": x}, outputs={"y": scores})
    version = publish(registry, "sum", linear_model(), Draft(reference=reference))
    truth.set_truth_policy(registry, "sum", POLICY, AUTHOR)
    said = rng.random(1_000).tolist()
    ids = keep(registry, [answer(version, say(p), NOON - 2 * DAY) for p in said])
    tell(registry, tmp_path, "sum", *((i, int(p > 0.5)) for i, p in zip(ids, said, strict=True)))
    let_be_counted(registry, version, NOON - DAY / 2)

    found = report(registry).expected

    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert (found.rows, found.labels, found.metric) == (5_000, 1_000, MetricKind.ACCURACY)
    assert found.covered == 1.0


def let_be_counted(registry: Registry, version: Version, at: datetime) -> None:
    """Let as many rows come as the reference has, distributed alike."""
    reference = registry.manifest(version).reference
    assert reference is not None
    lane = LaneCounts(
        version.model, version.number, Lane.CHAMPION, version.manifest,
        to_bytes(Layout.of(reference).reference),
    )  # fmt: skip
    registry.store.take([WorkerCounts("w", to_us(at), (lane,))])


@pytest.mark.parametrize("lacking", list(Lacking))
def test_a_report_of_nothing_says_what_it_lacks(
    registry: Registry, version: Version, tmp_path: Path, lacking: Lacking
) -> None:
    if lacking is not Lacking.ANSWERS:
        said = 7.0 if lacking is Lacking.SCORES else 0.5
        [one] = keep(registry, [answer(version, say(said), NOON - 2 * DAY)])
        if lacking is not Lacking.LABELS:
            tell(registry, tmp_path, "sum", (one, 1))
    if lacking is Lacking.TARGET:
        publish(registry, "sum", linear_model(name="z"))
        policy = msgspec.json.encode(TruthPolicy(output="gone")).decode()
        with registry.store.write() as tx:
            service.put_value(tx, SettingName.TRUTH, "sum", policy)
            append_record(tx, "set", AUTHOR, NOON)

    found = report(registry)

    assert found.lacking is lacking
    assert found.verdict.endswith(".")
    assert found.matured.estimates == ()


def test_a_report_of_what_is_not_there_is_refused(registry: Registry, version: Version) -> None:
    publish(registry, "new", linear_model(), promote=False)
    for model, asked, error in (
        ("none", {}, ModelNotFound), ("sum", {"version": 9}, VersionNotFound),
        ("new", {}, AliasNotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            read_truth(registry, model, read_period("1d"), at=NOON, **asked)


def test_a_data_directory_may_be_named_from_where_one_is(
    registry: Registry, version: Version, tmp_path: Path, clock: "Clock",
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    registry.clock = clock
    monkeypatch.chdir(tmp_path.parent)

    named = Path(tmp_path.name)
    assert matured_scores(named, None)(registry, "sum", version.number) == []


def test_what_matured_is_read_without_what_did_not(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    old, new = NOON - 2 * DAY, NOON - timedelta(hours=1)
    ids = keep(registry, [answer(version, say(0.9), at) for at in (old, new)])
    tell(registry, tmp_path, "sum", *((one, 1) for one in ids))

    both = read_truth(registry, "sum", read_period("2d"), at=NOON)
    matured = read_truth(registry, "sum", read_period("2d"), at=NOON, is_matured_only=True)

    assert (both.matured.rows, both.provisional.rows) == (1, 1)
    assert (matured.matured, matured.provisional.rows) == (both.matured, 0)


def test_of_more_labels_than_a_report_holds_a_promotion_is_scored_by_the_newest() -> None:
    asked: list[str] = []

    def read(window: str) -> bytes:
        asked.append(window)
        if len(asked) < 3:
            raise InvalidRequest("window", "More than 100,000 rows have labels.")
        return window.encode()

    assert read_longest(read) == b"24h"
    assert asked == ["30d", "7d", "24h"]

    def refuse(window: str) -> bytes:
        raise InvalidRequest("window", "More than 100,000 rows have labels.")

    with pytest.raises(StoreUnavailable, match="in an hour"):
        read_longest(refuse)


def test_a_promotion_is_scored_by_what_has_matured(
    registry: Registry, version: Version, tmp_path: Path, clock: "Clock"
) -> None:
    ids = keep(registry, [answer(version, say(0.9), NOON - 2 * DAY) for _ in range(800)])
    for start in range(0, 800, 400):
        tell(registry, tmp_path, "sum", *((one, 1) for one in ids[start : start + 400]))
    registry.clock = clock

    scores = matured_scores(tmp_path, None)(registry, "sum", version.number)

    found = {one.metric: one for one in scores}
    assert found["accuracy"].labels == 800
    assert found["accuracy"].value == 1.0
    with pytest.raises(StoreUnavailable, match="ground truth"):
        matured_scores(tmp_path / "none", None)(registry, "sum", version.number)
    # All were right, which leaves it in doubt all the same.
    assert 0.99 < found["accuracy"].low < 0.996
    assert found["accuracy"].high == 1.0


def test_versions_are_scored_for_promotions_one_at_a_time(
    registry: Registry, version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = matured_scores(tmp_path, None)

    def read_while_another_asks(*_: object) -> list[TruthScore]:
        with pytest.raises(StoreUnavailable, match="of another promotion is being read"):
            score(registry, "sum", version.number)
        return []

    monkeypatch.setattr(apart, "read_scores", read_while_another_asks)
    assert [score(registry, "sum", version.number) for _ in range(2)] == [[], []]
