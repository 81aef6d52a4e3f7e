"""A pipeline over a real journal and roster, with the means to look at both."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.cases import Answer, Call, Denial
from gateway.journal import Done, Journal
from gateway.loader import EMPTY_ROSTER
from gateway.long_runs import LongRuns
from gateway.metrics import Metrics, SeriesCounts
from gateway.pipeline import Pipeline
from gateway.security import Role, read_credential
from registry.audit.query import AuditTrail
from registry.entry import Entry
from registry.errors import JournalBroken, JournalUnavailable
from registry.manifest import Action, Contract, Draft, Rule, RuleKind
from registry.records import AuditRecord, RecordFilter
from registry.registry import Registry
from tests.builders import add_key, infer_body

PAYLOAD_LIMIT = 1000
GUARDED = Draft(
    contract=Contract(
        rules=(Rule(input="x", kind=RuleKind.RANGE, action=Action.REJECT, low=0, high=10),)
    )
)
LONG_NAME = "\x01" * 1000
WORDY = Draft(
    contract=Contract(
        rules=(Rule(input=LONG_NAME, kind=RuleKind.RANGE, action=Action.REJECT, low=0, high=10),)
    )
)
FINE = msgspec.json.encode(infer_body([[1, 2, 3]]))


class HeldJournal(Journal):
    """A journal that makes nothing durable before it may, or fails instead."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.may_commit = asyncio.Event()
        self._late: list[asyncio.Future[None]] = []
        self.fault: JournalUnavailable | JournalBroken | None = None

    def append(self, entry: Entry, done: Done) -> None:
        self._late.append(asyncio.ensure_future(self._append_late(entry, done)))

    async def _append_late(self, entry: Entry, done: Done) -> None:
        await self.may_commit.wait()
        if self.fault is None:
            super().append(entry, done)
        else:
            done(self.fault)


class Bench:
    """A pipeline over a real journal and roster, with the means to look at both."""

    def __init__(
        self,
        registry: Registry,
        journal: HeldJournal,
        pipeline: Pipeline,
        long_runs: LongRuns,
        metrics: Metrics,
        directory: Path,
    ):
        self.journal = journal
        self.metrics = metrics
        self.pipeline = pipeline
        self.long_runs = long_runs
        self.roster = EMPTY_ROSTER
        self.trail = AuditTrail(registry.store, directory)
        self.token = add_key(registry, Role.INVOKER)
        self.viewer = add_key(registry, Role.VIEWER)

    def call(self, body: bytes = FINE, model: str = "linear", token: str | None = None) -> Call:
        return Call(
            model=model,
            version=None,
            body=body,
            credential=read_credential(f"Bearer {token or self.token}"),
            source="127.0.0.1",
        )

    def infer(self, *args: Any, **kwargs: Any) -> asyncio.Task[Answer | Denial]:
        return asyncio.create_task(self.pipeline.infer(self.call(*args, **kwargs)))

    def counts(self) -> dict[tuple[str, int | None, str], SeriesCounts]:
        """Return the series of what was called, by model, version and lane."""
        return {(one.model, one.version, one.lane): one for one in self.metrics.counts().series}

    def records(self) -> list[AuditRecord]:
        return [found.record for found in self.trail.find(RecordFilter(kind="inference")).records]


Scenario = Callable[[Bench], Awaitable[None]]


async def turns(count: int = 50) -> None:
    """Let everything happen that can happen now."""
    for _ in range(count):
        await asyncio.sleep(0)
