"""Truth reports read in a process apart: scoring many rows must hold up no other work."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.errors import ReportTooLong
from gateway.truth.child import Asked, Reply
from gateway.truth.report import TruthReport
from registry.apart import Died, TookTooLong, run_apart
from registry.errors import InvalidRequest, StoreUnavailable
from registry.promotion_evidence import TruthScore
from registry.records import Lane
from registry.registry import Registry

# Of what a promotion is judged by: the labels that were due in this time.
MATURED_WINDOW = "30d"
_DEADLINE_S = 60.0


def read_apart(
    data_dir: Path,
    payload_key: Path | None,
    model: str,
    window: str,
    *,
    at: datetime,
    version: int | None = None,
    lane: Lane | None = None,
) -> bytes:
    """Return a report as JSON. Raises ReportTooLong, and InvalidRequest for too many labels."""
    asked = Asked(
        data_dir=str(data_dir), payload_key=None if payload_key is None else str(payload_key),
        model=model, window=window, at=at, version=version, lane=lane,
    )  # fmt: skip
    try:
        written = run_apart("gateway.truth.child", msgspec.json.encode(asked), _DEADLINE_S)
    except (TookTooLong, Died) as error:
        raise ReportTooLong from error
    reply = msgspec.json.decode(written, type=Reply)
    if reply.fault:
        raise InvalidRequest("window", reply.fault)
    return bytes(reply.report)


def matured_scores(
    data_dir: Path, payload_key: Path | None
) -> Callable[[Registry, str, int], list[TruthScore]]:
    """Make what scores a version for its promotion, by intervals that hold at any look.

    A metric with too few labels for one is left out: then nothing is known of it. It raises
    StoreUnavailable where the labels cannot be read in time, as whoever promotes expects it.
    """

    def score(registry: Registry, model: str, number: int) -> list[TruthScore]:
        try:
            written = read_apart(
                data_dir, payload_key, model, MATURED_WINDOW, at=registry.clock(), version=number
            )
        except ReportTooLong as error:
            raise StoreUnavailable("its ground truth takes too long to read") from error
        report = msgspec.json.decode(written, type=TruthReport)
        return [
            TruthScore(
                metric=one.metric.value,
                labels=one.rows,
                value=one.value,
                low=one.sequence.low,
                high=one.sequence.high,
            )
            for one in report.matured.estimates
            if one.sequence is not None
        ]

    return score
