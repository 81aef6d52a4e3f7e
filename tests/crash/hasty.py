"""A gateway with the fault that the crash tests look for: it answers before it has a record."""

import asyncio
import sys

import gateway.worker
from gateway import cli, serve
from gateway.journal import Done, Journal
from registry.entry import Entry

_WRITTEN_AFTER_S = 0.1


class HastyJournal(Journal):
    """Says that an entry is on disk, and writes it a little later."""

    def append(self, entry: Entry, done: Done) -> None:
        asyncio.get_running_loop().call_later(
            _WRITTEN_AFTER_S, super().append, entry, lambda error: None
        )
        done(None)


def main() -> None:
    """Run as `gateway serve` does, or as one of its workers where no command is named."""
    if sys.argv[1] == "serve":
        serve.WORKER = "tests.crash.hasty"
        cli.main()
    else:
        gateway.worker.Journal = HastyJournal  # type: ignore[misc]
        gateway.worker.main()


if __name__ == "__main__":
    main()
