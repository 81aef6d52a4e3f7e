"""What metrics tell of drift."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.drift import gauges
from gateway.drift.gauges import DriftGauges
from gateway.drift.period import read_period
from gateway.drift.reading import read_report
from gateway.metrics.drift import DriftState, FeatureState
from gateway.metrics.exposition import write_text
from registry.registry import Registry
from tests.builders import linear_model, publish
from tests.counted import let_come, normal, publish_watched
from tests.unit.registry.test_drift_policies import find

NOON = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Time:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed_s)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def drift(registry: Registry, time: Time) -> DriftGauges:
    return DriftGauges(registry, clock=time.now, timer=time)


def only(states: tuple[DriftState, ...]) -> DriftState:
    [state] = states
    return state


def test_the_last_full_hour_with_enough_rows_is_told(
    registry: Registry, drift: DriftGauges
) -> None:
    version = publish_watched(registry)
    x = normal(400, 3)
    x[:100, 2] = float("nan")
    let_come(registry, version, normal(300, 4), NOON - 5 * HOUR)
    let_come(registry, version, x, NOON - 3 * HOUR)
    let_come(registry, version, normal(199, 5), NOON - HOUR)
    let_come(registry, version, normal(900, 6), NOON)  # an hour that is not over

    state = only(drift.read())

    assert (state.model, state.version, state.rows) == ("sum", 1, 400)
    at = NOON - 2.5 * HOUR
    report = read_report(registry, "sum", read_period("1h"), at=at)
    distances = {one.feature: one.comparison.js_distance for one in report.features}
    told = {(one.side, one.input, one.column): one for one in state.features}
    assert told["input", "x", "0"].js_distance == distances["x[0]"]
    assert told["joint", "", ""].js_distance == distances["joint"]
    assert told["output", "y", ""].js_distance == distances["y"]
    assert told["input", "x", "2"].missing == pytest.approx(0.25)
    assert told["joint", "", ""].missing is None


def test_an_hour_of_yesterday_is_told_no_more(registry: Registry, drift: DriftGauges) -> None:
    let_come(registry, publish_watched(registry), normal(400, 3), NOON - 26 * HOUR)

    state = only(drift.read())

    assert (state.rows, state.features) == (0, ())


def test_only_findings_of_the_champion_count(registry: Registry, drift: DriftGauges) -> None:
    publish_watched(registry)
    publish_watched(registry, weight=2.0)
    find(registry, 1)
    find(registry, 2)

    state = only(drift.read())

    assert (state.version, state.open_findings) == (2, 1)


def test_what_was_read_is_told_for_ten_seconds(
    registry: Registry, drift: DriftGauges, time: Time
) -> None:
    publish_watched(registry)
    drift.read()
    find(registry, 1)

    found = []
    for time.passed_s in (9.9, 10.0):
        found.append(only(drift.read()).open_findings)

    assert found == [0, 1]


def test_models_without_champion_or_reference_have_no_gauges(
    registry: Registry, drift: DriftGauges
) -> None:
    publish(registry, "bare", linear_model())
    publish(registry, "new", linear_model(), promote=False)

    assert drift.read() == ()


def test_a_damaged_manifest_hides_no_other_model(
    registry: Registry, drift: DriftGauges, tmp_path: Path
) -> None:
    damaged = publish_watched(registry, "damaged")
    publish_watched(registry)
    [path] = tmp_path.rglob(damaged.manifest.removeprefix("sha256:"))
    path.chmod(0o600)
    path.write_bytes(b"{}")

    assert only(drift.read()).model == "sum"


def test_a_version_with_many_inputs_has_a_bounded_number_of_gauges(
    registry: Registry, drift: DriftGauges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "MOST_FEATURES", 3)
    let_come(registry, publish_watched(registry), normal(400, 3), NOON - HOUR)

    features = only(drift.read()).features

    assert [one.side for one in features] == ["output", "joint", "input"]


def test_an_input_and_an_output_of_one_name_have_samples_of_their_own() -> None:
    features = (
        FeatureState("output", "y", "", 0.2, 0.1),
        FeatureState("joint", "", "", 0.3, None),
        FeatureState("input", "y", "", 0.1, 0.0),
    )

    text = write_text([], drift=[DriftState("m", 1, 2, 300, features)])

    found = {one.name: one.samples for one in text_string_to_metric_families(text)}
    distances = {one.labels["side"]: one.value for one in found["gateway_drift_js_distance"]}
    assert distances == {"output": 0.2, "joint": 0.3, "input": 0.1}
    missing = {one.labels["side"]: one.value for one in found["gateway_drift_missing_share"]}
    assert missing == {"output": 0.1, "input": 0.0}
    for name, value in (("gateway_findings_open", 2), ("gateway_window_rows", 300)):
        [sample] = found[name]
        assert (sample.labels, sample.value) == ({"model": "m", "version": "1"}, value)
