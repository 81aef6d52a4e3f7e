"""Traffic of a version with thirty numbers a row, and detectors that look at it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np

from gateway.monitor.detector import Detector, Finding, State
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from registry.datatypes import Datatype
from registry.distribution import Discrete, Feature, Reference
from registry.manifest import Signature, TensorSpec
from registry.reference import derive_reference

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COLUMNS = 30
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, COLUMNS)),), outputs=()
)

Rows = np.ndarray[Any, np.dtype[np.float32]]
Change = Callable[[np.random.Generator, Rows], None]


def rows_like_training(source: np.random.Generator, n: int) -> Rows:
    """Draw independent normal numbers, one in a hundred missing."""
    rows = source.standard_normal((n, COLUMNS)).astype(np.float32)
    rows[source.random(rows.shape) < 0.01] = np.nan
    return rows


@cache
def reference(rows: int = 50_000) -> Reference:
    return derive_reference({"x": rows_like_training(np.random.default_rng(1), rows)})


@cache
def detector(average_run_length: int = 1000) -> Detector:
    return Detector(Layout.of(reference()), average_run_length=average_run_length)


class Traffic:
    """Gives the per-second summaries of looks of 250 rows, changed from some look on."""

    def __init__(self, seed: int, seconds: int = 25) -> None:
        self._source = np.random.default_rng(seed)
        self._folder = Folder(Layout.of(reference()), reference(), SIGNATURE)
        self._seconds = seconds

    def look(self, change: Change | None = None, rows: int = 250) -> list[list[int]]:
        live = rows_like_training(self._source, rows)
        if change is not None:
            change(self._source, live)
        return [self._summary(part) for part in np.array_split(live, self._seconds)]

    def batch(self, rows: int) -> list[int]:
        """Summarise a batch of equal rows."""
        return self._summary(np.repeat(rows_like_training(self._source, 1), rows, axis=0))

    def _summary(self, part: Rows) -> list[int]:
        self._folder.counts[:] = 0
        self._folder.add({"x": part}, {})
        self._folder.fold()
        return self._folder.counts.tolist()


def judge(of: Detector, looks: Iterable[Sequence[Sequence[int]]]) -> list[list[Finding]]:
    """Look once a minute; returns the findings of each look."""
    state, found = State(), []
    for minute, blocks in enumerate(looks):
        at = START + minute * MINUTE
        look = of.look(state, blocks, at, at + MINUTE)
        state = look.state
        found.append(list(look.findings))
    return found


def rows_to_detection(of: Detector, seed: int, change: Change, most_looks: int = 60) -> int:
    """Count the rows of changed traffic until it is found; none before the change was found."""
    traffic, state = Traffic(seed), State()
    for number in range(-4, most_looks):
        blocks = traffic.look(change if number >= 0 else None)
        at = START + (number + 4) * MINUTE
        look = of.look(state, blocks, at, at + MINUTE)
        if look.findings:
            assert number >= 0, "a false alarm"
            return 250 * (number + 1)
        state = look.state
    return 250 * most_looks


def truths(features: int = 30, share: float = 0.5, rows: int = 50_000) -> Reference:
    """A reference of booleans, each true with a probability of `share`."""
    true = round(rows * share)
    kind = Discrete(values=(0, 1), counts=(rows - true, true))
    return Reference(
        rows=rows,
        features=tuple(
            Feature(input=f"x{number}", count=rows, missing=0, distribution=kind)
            for number in range(features)
        ),
    )


def truths_summary(layout: Layout, rows: int, true: Sequence[int]) -> list[int]:
    """The summary of `rows` rows, of which as many were true for each feature."""
    summary = layout.empty()
    summary[0] = rows
    for feature, count in zip(layout.features, true, strict=True):
        low, high = feature.splits[0].bins
        summary[low], summary[high] = rows - count, count
    return summary
