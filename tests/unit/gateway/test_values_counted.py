"""Which values are counted of a turn's requests, and of which version and lane."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.cases import Answer, Call, Denial
from gateway.journal import Done, Journal
from gateway.loader import Loader
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics
from gateway.monitor.layout import Layout
from gateway.monitor.rows import MOST_ROWS
from gateway.observation import Observation
from gateway.runtime import Runner
from gateway.security import Role, read_credential
from gateway.summaries import Summaries, SummaryFile
from registry.distribution import Feature, Numeric, Reference
from registry.entry import Entry
from registry.errors import JournalUnavailable
from registry.manifest import Action, Contract, Draft, OutputRule, Rule, RuleKind
from registry.registry import Registry
from tests.builders import add_key, infer_body, linear_model, publish
from tests.unit.gateway.serving import make_loader, make_pipeline

Row = Sequence[float | None]
Result = Answer | Denial | BaseException
Scenario = Callable[["Served"], Awaitable[None]]


def feature(name: str, column: int) -> Feature:
    bins = Numeric(
        minimum=-9.0, maximum=99.0, mean=0.0, std=1.0, edges=(0.0, 9.0), bin_counts=(1, 2, 1)
    )
    return Feature(input=name, column=column, count=4, missing=0, distribution=bins)


REFERENCE = Reference(
    rows=4, features=(feature("x", 0),), output_rows=4, outputs=(feature("y", 0),)
)
LAYOUT = Layout.of(REFERENCE)
RULES = (
    Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, column=1, low=0),
    Rule(input="x", kind=RuleKind.RANGE, action=Action.CLIP, column=0, low=1),
)
OUTPUT_RULES = (OutputRule(input="y", kind=RuleKind.RANGE, action=Action.REJECT, high=900),)


class CountedObservation(Observation):
    """Counts how often it was told of values."""

    notes = 0

    def note(self, *args: Any, **options: Any) -> None:
        self.notes += 1
        super().note(*args, **options)


class Served:
    """A pipeline over one model `m`, what it counts, and how often it was told of values."""

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        journal: Journal,
        long_runs: LongRuns,
        folder: Path,
    ) -> None:
        self._summaries = Summaries(folder)
        self._summaries.prepare()
        self._observation = CountedObservation(SummaryFile(folder), lambda: loader.roster)
        metrics = Metrics()
        self._pipeline = make_pipeline(loader, journal, long_runs, metrics, self._observation)
        self._token = add_key(registry, Role.INVOKER)

    @property
    def notes(self) -> int:
        return self._observation.notes

    async def ask(self, *rows: Row, version: str | None = None) -> Answer | Denial:
        call = Call(
            model="m",
            version=version,
            body=msgspec.json.encode(infer_body([list(row) for row in rows])),
            credential=read_credential(f"Bearer {self._token}"),
            source=None,
        )
        return await self._pipeline.infer(call)

    async def counts(self) -> dict[str, tuple[int, list[int], list[int]]]:
        """Write all, and return by lane the rows, and where the first input and output lay."""
        await self._observation.close()
        return {
            lane.lane: (counts[0], _bins(counts, 0), _bins(counts, -1))
            for found in self._summaries.read()
            if found.counts is not None
            for lane in found.counts.lanes
            for counts in [list(array("q", lane.counts))]
        }


def _bins(counts: list[int], feature: int) -> list[int]:
    return [counts[cell] for cell in LAYOUT.features[feature].splits[0].bins]


class RefusingJournal(Journal):
    def append(self, entry: Entry, done: Done) -> None:
        done(JournalUnavailable("No space left on device"))


def play(registry: Registry, path: Path, scenario: Scenario, kind: type[Journal] = Journal) -> None:
    async def run() -> None:
        draft = Draft(reference=REFERENCE, contract=Contract(rules=RULES, outputs=OUTPUT_RULES))
        publish(registry, "m", linear_model(), draft)
        with make_loader(registry) as loader:
            journal = kind(path, on_broken=lambda _: None)
            long_runs = LongRuns(threads=1, longest_wait_s=1)
            served = Served(registry, loader, journal, long_runs, path / "summaries")
            await loader.load()
            try:
                await scenario(served)
            finally:
                await journal.close()
                long_runs.close()

    asyncio.run(run())


async def ask_twenty(served: Served) -> list[Result]:
    asked = [served.ask([n, 0, 0], [n, 9, 0]) for n in range(1, 21)]
    return await asyncio.gather(*asked, return_exceptions=True)


def test_requests_of_a_turn_are_counted_at_once(registry: Registry, tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        await ask_twenty(served)
        notes = served.notes

        assert await served.counts() == {"champion": (40, [0, 18, 22], [0, 9, 31])}
        assert notes == 1

    play(registry, tmp_path, scenario)


def test_a_repaired_request_is_counted_as_it_was_sent(registry: Registry, tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        await asyncio.gather(served.ask([5, 0, 0]), served.ask([-4, 0, 0]))

        assert await served.counts() == {"champion": (2, [1, 1, 0], [0, 2, 0])}

    play(registry, tmp_path, scenario)


def test_requests_are_counted_in_their_own_lanes(registry: Registry, tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        await asyncio.gather(served.ask([5, 0, 0]), served.ask([5, 0, 10], [50, 0, 0], version="1"))

        assert await served.counts() == {
            "champion": (1, [0, 1, 0], [0, 1, 0]),
            "pinned": (2, [0, 1, 1], [0, 0, 2]),
        }

    play(registry, tmp_path, scenario)


def test_of_a_request_of_many_rows_some_are_counted_evenly_spread(
    registry: Registry, tmp_path: Path
) -> None:
    async def scenario(served: Served) -> None:
        rows = 8 * MOST_ROWS
        many: list[Row] = [[5 if n < rows // 4 else 50, 0, 0] for n in range(rows)]
        await asyncio.gather(served.ask(*many), served.ask([5, 0, 0]))

        quarter = MOST_ROWS // 4
        found = [0, quarter + 1, MOST_ROWS - quarter]
        assert await served.counts() == {"champion": (MOST_ROWS + 1, found, found)}

    play(registry, tmp_path, scenario)


@pytest.mark.parametrize("row", [[5, -1, 0], [5, 0, 950]])
def test_a_refused_request_and_a_withheld_answer_are_not_counted(
    registry: Registry, tmp_path: Path, row: Row
) -> None:
    async def scenario(served: Served) -> None:
        results = await asyncio.gather(served.ask(row), served.ask([20, 0, 0]))

        assert [type(result) for result in results] == [Denial, Answer]
        assert await served.counts() == {"champion": (1, [0, 0, 1], [0, 0, 1])}

    play(registry, tmp_path, scenario)


def test_what_ran_in_a_thread_is_counted(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "is_short", lambda *_: False)

    async def scenario(served: Served) -> None:
        await ask_twenty(served)

        assert await served.counts() == {"champion": (40, [0, 18, 22], [0, 9, 31])}

    play(registry, tmp_path, scenario)


def test_an_answer_that_nobody_got_is_counted_since_the_model_gave_it(
    registry: Registry, tmp_path: Path
) -> None:
    async def scenario(served: Served) -> None:
        results = await ask_twenty(served)

        assert {type(result) for result in results} == {JournalUnavailable}
        assert await served.counts() == {"champion": (40, [0, 18, 22], [0, 9, 31])}

    play(registry, tmp_path, scenario, RefusingJournal)
