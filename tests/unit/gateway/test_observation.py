import asyncio
from array import array
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gateway import observation as module
from gateway.drift.taking import Taker
from gateway.loader import Loader
from gateway.monitor.layout import Layout
from gateway.observation import BLOCK_BYTES, BLOCK_ROWS, Observation
from gateway.roster import Roster, ServedVersion
from gateway.summaries import Summaries, SummaryFile
from registry.distribution import Feature, Numeric, Reference
from registry.manifest import Draft
from registry.records import Lane
from registry.registry import Registry
from registry.times import now
from registry.windows import LaneCounts, Span
from tests.builders import linear_model, publish
from tests.unit.gateway.serving import make_loader

EDGES = (-1.0, 0.0, 1.0)
DAY = timedelta(days=1)


def feature(name: str, column: int) -> Feature:
    bins = Numeric(
        minimum=-2.0, maximum=2.0, mean=0.0, std=1.0, edges=EDGES, bin_counts=(1, 2, 2, 1)
    )
    return Feature(input=name, column=column, count=6, missing=0, distribution=bins)


REFERENCE = Reference(
    rows=6,
    features=tuple(feature("x", column) for column in range(3)),
    output_rows=6,
    outputs=(feature("y", 0),),
)
LAYOUT = Layout.of(REFERENCE)
WATCHED = Draft(reference=REFERENCE)


class Bench:
    """An observation of the models of a registry, and what it has written."""

    def __init__(self, observation: Observation, loader: Loader, summaries: Summaries) -> None:
        self.observation = observation
        self.loader = loader
        self._summaries = summaries

    def served(self, model: str = "sum", number: int = 1) -> ServedVersion:
        return self.loader.roster.models[model].versions[number]

    def note(
        self, rows: int = 1, *, value: float = 0.5, served: ServedVersion | None = None,
        lane: Lane = Lane.CHAMPION, size: int = 100,
    ) -> None:  # fmt: skip
        x = np.full((rows, 3), value, np.float32)
        y = x.sum(axis=1, keepdims=True)
        given = served or self.served()
        self.observation.note(given, lane, {"x": x}, {"y": y}, rows=rows, size=size)

    def counts(self) -> dict[tuple[str, int, str], list[int]]:
        """Return what is written, by model, version and lane."""
        return {
            (lane.model, lane.version, lane.lane): list(array("q", lane.counts))
            for found in self._summaries.read()
            if found.counts is not None
            for lane in found.counts.lanes
        }


Scenario = Callable[[Bench], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(registry: Registry, tmp_path: Path) -> Play:
    """Run a scenario in which `sum` was published with a reference, and `plain` without."""
    publish(registry, "sum", linear_model(), WATCHED)
    publish(registry, "sum", linear_model(2.0), WATCHED)
    publish(registry, "plain", linear_model())

    async def run(scenario: Scenario) -> None:
        summaries = Summaries(tmp_path / "summaries")
        summaries.prepare()
        with make_loader(registry) as loader:
            await loader.load()
            file = SummaryFile(tmp_path / "summaries")
            observation = Observation(file, lambda: loader.roster)
            await scenario(Bench(observation, loader, summaries))

    return lambda scenario: asyncio.run(run(scenario))


def test_values_of_inputs_and_outputs_are_counted_and_written(play: Play) -> None:
    async def scenario(bench: Bench) -> None:
        bench.note(5)
        bench.note(2, value=-0.5)
        await bench.observation.close()

        [(key, counts)] = bench.counts().items()

        assert key == ("sum", 1, Lane.CHAMPION)
        assert counts[0] == 7
        inputs, outputs = LAYOUT.features[0], LAYOUT.features[-1]
        assert [counts[cell] for cell in inputs.splits[0].bins] == [0, 2, 5, 0]
        assert [counts[cell] for cell in outputs.splits[0].bins] == [2, 0, 0, 5]

    play(scenario)


def test_versions_and_lanes_are_counted_apart(play: Play) -> None:
    async def scenario(bench: Bench) -> None:
        bench.note(1)
        bench.note(2, served=bench.served(number=2))
        bench.note(3, served=bench.served(number=2), lane=Lane.PINNED)
        await bench.observation.close()

        rows = {key: counts[0] for key, counts in bench.counts().items()}

        assert rows == {
            ("sum", 1, Lane.CHAMPION): 1,
            ("sum", 2, Lane.CHAMPION): 2,
            ("sum", 2, Lane.PINNED): 3,
        }

    play(scenario)


def test_a_version_without_a_reference_is_not_counted(play: Play) -> None:
    async def scenario(bench: Bench) -> None:
        bench.note(served=bench.served("plain"))
        await bench.observation.close()

        assert bench.counts() == {}

    play(scenario)


def test_inputs_that_another_version_answered_are_counted_for_the_champion(play: Play) -> None:
    async def scenario(bench: Bench) -> None:
        bench.note(4, lane=Lane.FALLBACK)
        await bench.observation.close()

        counts = bench.counts()

        assert {key: found[0] for key, found in counts.items()} == {
            ("sum", 1, Lane.FALLBACK): 4,
            ("sum", 2, Lane.FALLBACK): 4,
        }
        outputs = LAYOUT.features[-1].splits[0].bins
        assert sum(counts["sum", 1, Lane.FALLBACK][cell] for cell in outputs) == 4
        assert sum(counts["sum", 2, Lane.FALLBACK][cell] for cell in outputs) == 0

    play(scenario)


def waiting(bench: Bench) -> int:
    return sum(series.rows for series in bench.observation._series.values())


@pytest.mark.parametrize(("rows", "size"), [(BLOCK_ROWS, 1), (1, BLOCK_BYTES)])
def test_a_block_is_counted_without_waiting_for_the_clock(play: Play, rows: int, size: int) -> None:
    async def scenario(bench: Bench) -> None:
        bench.note(rows - 1 or 1, size=1)
        assert waiting(bench) == (rows - 1 or 1)
        bench.note(1, size=size)
        assert waiting(bench) == 0
        await bench.observation.close()

    play(scenario)


def test_what_comes_while_a_long_block_is_counted_is_counted_after_it(play: Play) -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(20):
            bench.note(50_000)
            bench.note(1)
        await bench.observation.close()

        assert bench.counts()["sum", 1, Lane.CHAMPION][0] == 20 * 50_001

    play(scenario)


def test_values_that_come_faster_than_they_are_counted_are_let_go(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 1_000)

    async def scenario(bench: Bench) -> None:
        bench.note(BLOCK_ROWS)  # in the thread: its tables are made first
        for _ in range(50):
            bench.note(BLOCK_ROWS, size=100)
            assert sum(series.bytes for series in bench.observation._series.values()) <= 1_000
        await bench.observation.close()

        counted = bench.counts()["sum", 1, Lane.CHAMPION][0]
        assert BLOCK_ROWS <= counted < 51 * BLOCK_ROWS

    play(scenario)


def test_a_fault_ends_the_counting_of_its_version_alone(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = module.Folder.fold

    def fail_for_two(folder: Any) -> None:
        if folder is broken[0]:
            raise ZeroDivisionError
        fold(folder)

    broken: list[Any] = [None]
    monkeypatch.setattr(module.Folder, "fold", fail_for_two)

    async def scenario(bench: Bench) -> None:
        second = bench.served(number=2)
        bench.note(1)
        bench.note(1, served=second)
        await bench.observation.write()
        broken[0] = bench.observation._series["sum", 2, Lane.CHAMPION]._folder
        for _ in range(3):
            bench.note(BLOCK_ROWS)
            bench.note(BLOCK_ROWS, served=second)
        await bench.observation.close()

        rows = {key[1]: counts[0] for key, counts in bench.counts().items()}
        assert rows == {1: 1 + 3 * BLOCK_ROWS, 2: 1}
        assert waiting(bench) == 0

    play(scenario)


def test_what_the_disk_refused_is_written_once_there_is_room(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def scenario(bench: Bench) -> None:
        bench.note(3)
        with monkeypatch.context() as patch:
            patch.setattr(SummaryFile, "write", refuse)
            await bench.observation.write()
        bench.note(4)
        await bench.observation.write()

        assert bench.counts()["sum", 1, Lane.CHAMPION][0] == 7
        await bench.observation.close()

    play(scenario)


def rows_taken(registry: Registry, version: int) -> int:
    windows = registry.store.windows(
        "sum", version, Lane.CHAMPION, Span.DAY, since=now() - DAY, until=now() + DAY
    )
    return sum(array("q", window.counts)[0] for window in windows)


def test_with_many_versions_that_are_served_no_more_another_file_is_begun_and_all_counts_once(
    play: Play, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_OVER", 0)
    summaries = Summaries(tmp_path / "summaries")
    taker = Taker(registry.store, summaries)

    async def scenario(bench: Bench) -> None:
        one, two = bench.served(number=1), bench.served(number=2)
        roster, observation = bench.loader.roster, bench.observation
        model = roster.models["sum"]
        without = replace(model, champion=two, versions={2: two})
        first = observation._file.id
        for number in range(5):  # version 1 goes and is back, five times; version 2 stays
            bench.loader.roster = roster
            bench.note(3, served=one)
            bench.note(5, served=two)
            await observation.write()
            bench.note(2, served=one)
            bench.loader.roster = replace(roster, models={"sum": without})
            await observation.write()
            if number % 2:
                taker.take()

        assert observation._file.id != first
        assert observation._lanes.keys() == {("sum", 2, Lane.CHAMPION)}
        await observation.close()
        taker.take()
        taker.take()

    play(scenario)
    assert [rows_taken(registry, version) for version in (1, 2)] == [25, 25]
    assert summaries.read() == []


def test_evidence_that_goes_on_in_another_file_is_taken_once(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry, "sum", linear_model(), WATCHED)
    [version] = registry.versions("sum")
    counts = [0]

    def evidence() -> list[LaneCounts]:
        cells = array("q", counts).tobytes()
        return [LaneCounts("sum", 1, Lane.CHAMPION, version.manifest, cells)]

    async def scenario() -> None:
        summaries = Summaries(tmp_path / "summaries")
        summaries.prepare()
        with make_loader(registry) as loader:
            observation = Observation(
                SummaryFile(tmp_path / "summaries"), lambda: loader.roster, evidence
            )
            for count in (4, 7, 2):  # the last was begun anew
                counts[0] = count
                await observation.write()
                observation._begin_file(evidence())
            await observation.close()
        Taker(registry.store, summaries).take()

    asyncio.run(scenario())
    assert rows_taken(registry, 1) == 4 + 3 + 2


def test_a_version_that_is_served_no_more_is_counted_on_when_it_is_back(
    play: Play,
) -> None:
    async def scenario(bench: Bench) -> None:
        served, roster = bench.served(), bench.loader.roster
        bench.note(3)
        bench.loader.roster = Roster(generation=9, models={}, keyring=roster.keyring, failures={})
        await bench.observation.write()
        assert bench.observation._series == {}
        bench.loader.roster = roster
        bench.note(4, served=served)
        await bench.observation.close()

        assert bench.counts()["sum", 1, Lane.CHAMPION][0] == 7

    play(scenario)
