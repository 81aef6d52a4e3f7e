"""A gateway with the fault that the crash tests look for: it answers before it has a record."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import gateway.worker
from gateway import cli
from gateway.journal import Done, Journal
from gateway.serve import Supervisor
from registry.entry import Entry

_WRITTEN_AFTER_S = 0.1
_keep = Supervisor._keep


class HastyJournal(Journal):
    """Says that an entry is on disk, and writes it a little later."""

    def append(self, entry: Entry, done: Done) -> None:
        asyncio.get_running_loop().call_later(
            _WRITTEN_AFTER_S, super().append, entry, lambda error: None
        )
        done(None)


def keep_hasty_workers(
    self: Supervisor, name: str, module: str, *descriptors: int
) -> Coroutine[Any, Any, None]:
    return _keep(self, name, module.replace("gateway.worker", "tests.crash.hasty"), *descriptors)


def main() -> None:
    """Run as `gateway serve` does, or as one of its workers where no command is named."""
    if sys.argv[1] == "serve":
        Supervisor._keep = keep_hasty_workers  # type: ignore[method-assign,assignment]
        cli.main()
    else:
        gateway.worker.Journal = HastyJournal  # type: ignore[misc]
        gateway.worker.main()


if __name__ == "__main__":
    main()
