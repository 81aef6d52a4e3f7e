"""The child process that reads one truth report: scoring many rows must hold up no worker.

Reads an `Asked` from standard input and writes the report to standard output, both as JSON.
"""

import sys
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from gateway.drift.period import read_period
from gateway.truth.reading import read_truth
from registry.apart import end_with_parent
from registry.artifacts import Artifacts
from registry.errors import InvalidRequest
from registry.records import Lane
from registry.registry import Registry
from registry.store import open_store


class Asked(Struct, frozen=True, kw_only=True):
    """Which report, and where the data is."""

    data_dir: str
    payload_key: str | None
    model: str
    window: str
    at: datetime
    version: int | None
    lane: Lane | None


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The report, or the fault of what was asked: more labels than a report holds."""

    fault: str = ""
    report: Raw = Raw(b"null")


def main() -> None:
    """Answer what standard input asks."""
    end_with_parent()
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    key = None if asked.payload_key is None else Path(asked.payload_key)
    store = open_store(Path(asked.data_dir), key)
    registry = Registry(store, Artifacts(Path(asked.data_dir) / "artifacts"))
    try:
        report = read_truth(
            registry, asked.model, read_period(asked.window),
            at=asked.at, version=asked.version, lane=asked.lane,
        )  # fmt: skip
        reply = Reply(report=Raw(msgspec.json.encode(report)))
    except InvalidRequest as error:
        reply = Reply(fault=str(error))
    finally:
        store.close()
    sys.stdout.buffer.write(msgspec.json.encode(reply))


if __name__ == "__main__":
    main()
