"""Ground truth read in a process apart: scoring many rows must hold up no other work."""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.errors import ReportTooLong
from gateway.truth.child import Asked, AskedEvidence, AskedReport, Reply
from gateway.truth.report import TruthReport
from registry.apart import Died, TookTooLong, run_apart
from registry.errors import InvalidRequest, StoreUnavailable
from registry.promotion_evidence import TruthScore
from registry.records import Lane
from registry.registry import Registry
from registry.rollouts import Rollout, TruthEvidence
from registry.times import now

# Of what a promotion is judged by: the labels that were due in the longest of these times that has
# no more of them than a report holds.
_MATURED_WINDOWS = ("30d", "7d", "24h", "1h")
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
    is_matured_only: bool = False,
) -> bytes:
    """Return a report as JSON. Raises ReportTooLong, and InvalidRequest for too many labels."""
    asked = AskedReport(
        data_dir=str(data_dir.resolve()), payload_key=_text(payload_key), at=at,
        model=model, window=window, version=version, lane=lane, is_matured_only=is_matured_only,
    )  # fmt: skip
    return _read(asked)


def read_evidence(
    data_dir: Path, payload_key: Path | None, rollout: Rollout, at: datetime
) -> dict[int, TruthEvidence]:
    """Return what `RolloutTruth.evidence` does. Raises StoreUnavailable where that takes too long.

    Nothing is kept from one time to the next: each row is scored anew.
    """
    asked = AskedEvidence(
        data_dir=str(data_dir.resolve()), payload_key=_text(payload_key), at=at, rollout=rollout
    )
    try:
        return msgspec.json.decode(_read(asked), type=dict[int, TruthEvidence])
    except ReportTooLong as error:
        raise _too_long() from error


def read_longest(read: Callable[[str], bytes]) -> bytes:
    """Return what `read` makes of the longest window that holds no more labels than it takes.

    It raises InvalidRequest for one that does. Raises StoreUnavailable where all do, or one takes
    too long.
    """
    for window in _MATURED_WINDOWS:
        try:
            return read(window)
        except InvalidRequest:
            continue
        except ReportTooLong as error:
            raise _too_long() from error
    raise StoreUnavailable("more ground truth came in an hour than can be read")


def read_scores(
    data_dir: Path, payload_key: Path | None, model: str, number: int, at: datetime
) -> list[TruthScore]:
    """Score a version for its promotion, by intervals that hold at any look.

    A metric with too few labels for one is left out: then nothing is known of it. Raises
    StoreUnavailable where the labels cannot be read in time, as whoever promotes expects it.
    """

    def read(window: str) -> bytes:
        return read_apart(
            data_dir, payload_key, model, window, at=at, version=number, is_matured_only=True
        )

    report = msgspec.json.decode(read_longest(read), type=TruthReport)
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


def matured_scores(
    data_dir: Path, payload_key: Path | None
) -> Callable[[Registry, str, int], list[TruthScore]]:
    """Make what scores a version for a registry, which waits for it; see `read_scores`.

    One at a time: each is a process. It raises StoreUnavailable while another is read.
    """
    turn = threading.Lock()

    def score(registry: Registry, model: str, number: int) -> list[TruthScore]:
        if not turn.acquire(blocking=False):
            raise StoreUnavailable("the ground truth of another promotion is being read")
        try:
            return read_scores(data_dir, payload_key, model, number, registry.clock())
        finally:
            turn.release()

    return score


class TruthApart:
    """Reads the ground truth of one data directory; any thread may ask, and waits."""

    def __init__(self, data_dir: Path, payload_key: Path | None) -> None:
        self._data_dir = data_dir
        self._payload_key = payload_key

    def evidence(self, rollout: Rollout, at: datetime) -> dict[int, TruthEvidence]:
        """Return what guards are told; see `read_evidence`."""
        return read_evidence(self._data_dir, self._payload_key, rollout, at)

    def scores(self, model: str, version: int) -> list[TruthScore]:
        """Score a version as of now; see `read_scores`."""
        return read_scores(self._data_dir, self._payload_key, model, version, now())


def _read(asked: Asked) -> bytes:
    try:
        written = run_apart("gateway.truth.child", msgspec.json.encode(asked), _DEADLINE_S)
    except (TookTooLong, Died) as error:
        raise ReportTooLong from error
    reply = msgspec.json.decode(written, type=Reply)
    if reply.fault:
        raise InvalidRequest("window", reply.fault)
    return bytes(reply.found)


def _text(path: Path | None) -> str | None:
    # The child has a working folder of its own.
    return None if path is None else str(path.resolve())


def _too_long() -> StoreUnavailable:
    return StoreUnavailable("its ground truth takes too long to read")
