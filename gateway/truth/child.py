"""The child process that reads ground truth: scoring many rows must hold up nobody else.

Reads what is asked from standard input and writes what was found to standard output, both as JSON.
"""

import sys
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from gateway.drift.period import read_period
from gateway.truth.evidence import RolloutTruth
from gateway.truth.reading import read_truth
from gateway.truth.report import TruthReport
from registry.apart import end_with_parent
from registry.artifacts import Artifacts
from registry.errors import InvalidRequest
from registry.records import Lane
from registry.registry import Registry
from registry.rollouts import Rollout, TruthEvidence
from registry.store import open_store


class _Asked(Struct, frozen=True, kw_only=True):
    """Where the data is, and as of when."""

    data_dir: str
    payload_key: str | None
    at: datetime


class AskedReport(_Asked, frozen=True, kw_only=True, tag="report"):
    """Which report."""

    model: str
    window: str
    version: int | None
    lane: Lane | None
    is_matured_only: bool


class AskedEvidence(_Asked, frozen=True, kw_only=True, tag="evidence"):
    """Of which rollout what its guards are told, in the stage that it is in."""

    rollout: Rollout


Asked = AskedReport | AskedEvidence


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found, or the fault of what was asked: more labels than a report holds."""

    fault: str = ""
    found: Raw = Raw(b"null")


def main() -> None:
    """Answer what standard input asks."""
    end_with_parent()
    asked: Asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    key = None if asked.payload_key is None else Path(asked.payload_key)
    store = open_store(Path(asked.data_dir), key)
    registry = Registry(store, Artifacts(Path(asked.data_dir) / "artifacts"))
    try:
        reply = Reply(found=Raw(msgspec.json.encode(_read(registry, asked))))
    except InvalidRequest as error:
        reply = Reply(fault=str(error))
    finally:
        store.close()
    sys.stdout.buffer.write(msgspec.json.encode(reply))


def _read(registry: Registry, asked: Asked) -> TruthReport | dict[int, TruthEvidence]:
    if isinstance(asked, AskedEvidence):
        return RolloutTruth(registry).evidence(asked.rollout, asked.at)
    return read_truth(
        registry, asked.model, read_period(asked.window),
        at=asked.at, version=asked.version, lane=asked.lane,
        is_matured_only=asked.is_matured_only,
    )  # fmt: skip


if __name__ == "__main__":
    main()
