"""What workers counted is added up once, whatever ends between any two steps."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway.drift.taking import Taker
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from gateway.summaries import Summaries, SummaryFile
from registry.datatypes import Datatype
from registry.distribution import Feature, Numeric, Reference
from registry.manifest import Signature, TensorSpec
from registry.records import Kind, Lane, Outcome
from registry.store import Store, open_store
from registry.times import from_us
from registry.windows import LaneCounts, Span
from tests.contracts.stored import make_record, make_version

WORKERS = 3
BEGINNING, END = from_us(0), from_us(2**52)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP64, shape=(-1,)),),
    outputs=(TensorSpec(name="y", datatype=Datatype.FP64, shape=(-1,)),),
)


def feature(name: str) -> Feature:
    bins = Numeric(
        minimum=-2.0,
        maximum=2.0,
        mean=0.0,
        std=1.0,
        edges=(-1.0, 0.0, 1.0),
        bin_counts=(1, 2, 2, 1),
    )
    return Feature(input=name, count=6, missing=1, distribution=bins)


REFERENCE = Reference(rows=7, features=(feature("x"),), output_rows=7, outputs=(feature("y"),))
LAYOUT = Layout.of(REFERENCE)
values = st.lists(st.floats(-3, 3) | st.just(float("nan")), min_size=1, max_size=4)


class Killed(Exception):
    """The controller ends here."""


class Steps:
    """Counts what the controller does, and ends it before one of its steps."""

    def __init__(self) -> None:
        self.left: int | None = None

    def before(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any, **kwargs: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Killed
            return do(*args, **kwargs)

        return stepping


class Worker:
    """One worker: what it counted, its file, and the values that are not written yet."""

    def __init__(self, directory: Path) -> None:
        self.folder = Folder(LAYOUT, REFERENCE, SIGNATURE)
        self.file = SummaryFile(directory)
        self.unwritten: list[float] = []

    def answer(self, given: list[float]) -> None:
        x = np.array(given)
        self.folder.add({"x": x}, {"y": -x})
        self.unwritten += given

    def write(self) -> list[float]:
        self.folder.fold()
        version = make_version()
        counts = self.folder.counts.astype("<i8").tobytes()
        self.file.write(
            [LaneCounts(version.model, version.number, Lane.CHAMPION, version.manifest, counts)]
        )
        written, self.unwritten = self.unwritten, []
        return written


class ExactlyOnce(RuleBasedStateMachine):
    """Three workers that answer, write and are killed, and a controller that is, too."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.steps = Steps()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Path, "unlink", self.steps.before(Path.unlink))
        self.written: list[float] = []

    @initialize()
    def begin(self) -> None:
        self.store = self.open()
        with self.store.write() as tx:
            tx.add_version(make_version())
            tx.append(make_record(kind=Kind.ADMIN, outcome=Outcome.DONE))
        self.summaries.prepare()
        self.workers = [Worker(self.counts) for _ in range(WORKERS)]

    @property
    def counts(self) -> Path:
        return self.path / "summaries"

    @property
    def summaries(self) -> Summaries:
        return Summaries(self.counts)

    def open(self) -> Store:
        store = open_store(self.path)
        store._rows = self.steps.before(store._rows)  # type: ignore[attr-defined]
        self.taker = Taker(store, self.summaries)
        return store

    @rule(number=st.integers(0, WORKERS - 1), given=values)
    def answer(self, number: int, given: list[float]) -> None:
        self.workers[number].answer(given)

    @rule(number=st.integers(0, WORKERS - 1))
    def write(self, number: int) -> None:
        self.written += self.workers[number].write()

    @rule(number=st.integers(0, WORKERS - 1), is_killed=st.booleans())
    def end_worker(self, number: int, is_killed: bool) -> None:
        worker = self.workers[number]
        if not is_killed:
            self.written += worker.write()
        worker.file.close()  # as the kernel does for one that is killed
        self.workers[number] = Worker(self.counts)

    @rule()
    def take(self) -> None:
        self.taker.take()

    @rule(steps=st.integers(0, 40), is_new_store=st.booleans())
    def kill_controller(self, steps: int, is_new_store: bool) -> None:
        self.steps.left = steps
        try:
            self.taker.take()
        except Killed:
            pass
        finally:
            self.steps.left = None
        self.taker = Taker(self.store, self.summaries)
        if is_new_store:
            self.store.close()
            self.store = self.open()

    @rule()
    def serve_anew(self) -> None:
        for number in range(WORKERS):
            self.end_worker(number, is_killed=True)
        self.summaries.prepare()
        self.taker = Taker(self.store, self.summaries)

    @rule()
    def compare(self) -> None:
        """Hold what is in the windows against one pass over all values that were written."""
        self.taker.take()
        whole = Folder(LAYOUT, REFERENCE, SIGNATURE)
        random.Random(len(self.written)).shuffle(self.written)
        if self.written:
            x = np.array(self.written)
            whole.add({"x": x}, {"y": -x})
            whole.fold()
        for span in Span:
            found = self.store.windows("m", 1, Lane.CHAMPION, span, since=BEGINNING, until=END)
            total = sum((np.frombuffer(one.counts, "<i8") for one in found), np.zeros(LAYOUT.size))
            assert total.tolist() == whole.counts.tolist()
        living = {found.id for found in self.summaries.read()}
        assert set(self.store.taken()) <= living

    def teardown(self) -> None:
        try:
            self.compare()
        finally:
            for worker in self.workers:
                worker.file.close()
            self.store.close()
            self.patch.undo()
            self.folder.cleanup()


ExactlyOnce.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestExactlyOnce = ExactlyOnce.TestCase
