"""The gateway with less governance, or with none: what the benchmark compares with.

The product has no such switches and must have none. `gateway serve` runs here with workers that
check no rule and count no values; or whose journal says that an entry is on disk and writes
nothing; or, where everything is off, that do all of this and take any key and make no record.

    LOADTESTS_MODE=unwatched|unrecorded|ungoverned python -m loadtests.modes serve …
"""

import os
import sys

from gateway import cli, pipeline, serve, worker
from gateway.cases import Case
from gateway.contract import Checker
from gateway.journal import Done, Journal
from gateway.observation import Observation
from gateway.pipeline import Pipeline
from gateway.security import Role, make_key
from registry.entry import Entry
from registry.times import now

MODE = "LOADTESTS_MODE"
UNWATCHED, UNRECORDED, UNGOVERNED = "unwatched", "unrecorded", "ungoverned"


class ForgetfulJournal(Journal):
    """Says that an entry is on disk, and forgets it."""

    def append(self, entry: Entry, done: Done) -> None:
        done(None)


def stop_recording() -> None:
    """Acknowledge every record and keep none."""
    worker.Journal = ForgetfulJournal  # type: ignore[attr-defined]


def stop_watching() -> None:
    """Check no rule, count no values."""
    Checker.is_clean = lambda *_: True  # type: ignore[method-assign]
    Observation.note = lambda *_, **__: None  # type: ignore[method-assign]


def stop_governing() -> None:
    """Take any key, make no record."""
    anyone, _ = make_key(name="anyone", roles=(Role.INVOKER,), author="loadtests", created=now())

    def deliver(self: Pipeline, case: Case) -> None:
        self._deliver(case, None)

    pipeline.authenticate = lambda *_: anyone  # type: ignore[attr-defined]
    pipeline.authorise = lambda *_: None  # type: ignore[attr-defined]
    Pipeline._record = deliver  # type: ignore[method-assign]


def main() -> None:
    """Run as `gateway serve` does, or as one of its workers where no command is named."""
    if sys.argv[1] == "serve":
        serve.WORKER = "loadtests.modes"
        cli.main()
    else:
        mode = os.environ[MODE]
        if mode != UNWATCHED:
            stop_recording()
        if mode != UNRECORDED:
            stop_watching()
        if mode == UNGOVERNED:
            stop_governing()
        worker.main()


if __name__ == "__main__":
    main()
