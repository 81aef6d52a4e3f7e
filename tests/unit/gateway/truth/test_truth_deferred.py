"""The controller is told of ground truth without waiting for it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.truth.deferred import DeferredTruth
from gateway.truth.known import KnownTruth
from registry.errors import StoreUnavailable
from registry.promotion_evidence import TruthScore
from registry.rollouts import Guard, GuardKind, Plan, Rollout, Step, TruthEvidence
from tests.unit.gateway.truth.test_truth_evidence import rollout

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAIN = Plan(
    challenger=2,
    guards=(Guard(kind=GuardKind.ERRORS, margin=2.0),),
    steps=(Step(points=500),),
)
SCORE = TruthScore(metric="brier", labels=600, value=0.1, low=0.09, high=0.11)
WAIT_S = 10.0

T = TypeVar("T")


def told(blocks: int) -> dict[int, TruthEvidence]:
    return {1: TruthEvidence(blocks=blocks, sum=0.0, squares=0.0, challenger=1, champion=1)}


class SlowSource:
    """Reads for as long as it is not let go; what it finds grows with each reading."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.read: list[str] = []
        self.together = self.most_together = 0
        self.fault: Exception | None = None

    def evidence(self, rollout: Rollout, at: datetime) -> Mapping[int, TruthEvidence]:
        self._wait(rollout.id)
        return told(len(self.read))

    def scores(self, model: str, version: int) -> Sequence[TruthScore]:
        self._wait(f"{model}/{version}")
        return [SCORE]

    def _wait(self, what: str) -> None:
        self.read.append(what)
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        assert self.go.wait(WAIT_S)
        self.together -= 1
        if self.fault is not None:
            raise self.fault


class Clock:
    """A timer that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> SlowSource:
    return SlowSource()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def truth(source: SlowSource, clock: Clock) -> DeferredTruth:
    return DeferredTruth(source, timer=clock)


def soon(ask: Callable[[], T | None]) -> T:
    """Ask round after round, as the controller does, until there is something."""
    deadline = time.monotonic() + WAIT_S
    while (found := ask()) is None:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
    return found


def is_over(truth: DeferredTruth, source: SlowSource, readings: int) -> bool:
    return len(source.read) == readings and truth._errands._under_way is None


def test_a_guard_knows_nothing_before_labels_were_read_and_nobody_waits_for_that(
    truth: DeferredTruth, source: SlowSource
) -> None:
    assert truth.evidence(rollout(), NOON) == {}
    assert truth.evidence(rollout(), NOON) == {}
    assert not truth.is_read(rollout())

    source.go.set()

    assert soon(lambda: truth.evidence(rollout(), NOON) or None) == told(1)
    assert truth.is_read(rollout())
    assert source.read == ["r"]


def test_what_is_known_stays_known_while_it_is_read_anew(
    truth: DeferredTruth, source: SlowSource, clock: Clock
) -> None:
    source.go.set()
    soon(lambda: truth.evidence(rollout(), NOON) or None)
    clock.now = 9.0
    assert truth.evidence(rollout(), NOON) == told(1)
    source.go.clear()
    clock.now = 11.0
    assert truth.evidence(rollout(), NOON) == told(1)
    soon(lambda: len(source.read) == 2 or None)
    assert truth.evidence(rollout(), NOON) == told(1)
    source.go.set()

    soon(lambda: truth.evidence(rollout(), NOON) == told(2) or None)


def test_evidence_of_one_stage_is_none_of_the_next(
    truth: DeferredTruth, source: SlowSource
) -> None:
    source.go.set()
    soon(lambda: truth.evidence(rollout(stage=0), NOON) or None)
    source.go.clear()

    assert truth.evidence(rollout(stage=1), NOON) == {}

    source.go.set()
    assert soon(lambda: truth.evidence(rollout(stage=1), NOON) or None) == told(2)


def test_a_reading_that_fails_leaves_what_was_known_and_is_tried_again(
    truth: DeferredTruth, source: SlowSource, clock: Clock
) -> None:
    source.go.set()
    soon(lambda: truth.evidence(rollout(), NOON) or None)
    source.fault = StoreUnavailable("it is a test")
    clock.now = 11.0
    soon(lambda: (truth.evidence(rollout(), NOON) == told(1) and is_over(truth, source, 2)) or None)
    source.fault = None
    clock.now = 33.0

    soon(lambda: truth.evidence(rollout(), NOON) == told(3) or None)


def test_what_could_never_be_read_is_not_taken_for_read(
    truth: DeferredTruth, source: SlowSource
) -> None:
    source.fault = StoreUnavailable("it is a test")
    source.go.set()

    soon(lambda: (truth.evidence(rollout(), NOON) == {} and is_over(truth, source, 1)) or None)

    assert not truth.is_read(rollout())


def test_one_thing_is_read_at_a_time_the_first_that_was_asked_for_first(
    truth: DeferredTruth, source: SlowSource
) -> None:
    rollouts = [rollout(id=name) for name in "abc"]
    for one in rollouts:
        truth.evidence(one, NOON)
    assert truth.scores(rollouts[0]) is None
    source.go.set()

    soon(lambda: all([truth.evidence(one, NOON) for one in rollouts]) or None)
    assert soon(lambda: truth.scores(rollouts[0])) == [SCORE]
    assert source.read == ["a", "b", "c", "sum/2"]
    assert source.most_together == 1


def test_reading_takes_a_quarter_of_the_time_at_most(
    truth: DeferredTruth, source: SlowSource, clock: Clock
) -> None:
    truth.evidence(rollout(), NOON)
    clock.now = 20.0
    source.go.set()
    soon(lambda: truth.evidence(rollout(), NOON) or None)
    for rests in (40.0, 79.0):
        clock.now = rests
        assert truth.evidence(rollout(), NOON) == told(1)
        assert source.read == ["r"]

    clock.now = 80.0

    soon(lambda: truth.evidence(rollout(), NOON) == told(2) or None)


def test_scores_are_read_once_each_time_that_they_are_wanted(
    truth: DeferredTruth, source: SlowSource
) -> None:
    assert truth.scores(rollout()) is None
    assert truth.scores(rollout()) is None
    source.go.set()
    assert soon(lambda: truth.scores(rollout())) == [SCORE]
    assert source.read == ["sum/2"]

    assert soon(lambda: truth.scores(rollout())) == [SCORE]
    assert source.read == ["sum/2", "sum/2"]


def test_scores_that_nobody_took_in_time_are_read_anew(
    truth: DeferredTruth, source: SlowSource, clock: Clock
) -> None:
    source.go.set()
    assert truth.scores(rollout()) is None
    soon(lambda: truth.evidence(rollout(id="other"), NOON) or None)  # begun after that was over
    clock.now = 61.0

    assert truth.scores(rollout()) is None
    soon(lambda: truth.scores(rollout()))
    assert source.read == ["sum/2", "other", "sum/2"]


def test_scores_that_cannot_be_read_are_told_to_whoever_asked(
    truth: DeferredTruth, source: SlowSource
) -> None:
    source.fault = StoreUnavailable("its ground truth takes too long to read")
    source.go.set()

    with pytest.raises(StoreUnavailable, match="too long"):
        soon(lambda: truth.scores(rollout()))


def test_nothing_is_kept_of_rollouts_that_are_over(
    truth: DeferredTruth, source: SlowSource, clock: Clock
) -> None:
    gone, other = rollout(id="gone"), rollout(id="other")
    truth.evidence(gone, NOON)
    truth.evidence(other, NOON)
    truth.scores(gone)
    truth.keep_only([other])
    source.go.set()

    soon(lambda: truth.evidence(other, NOON) or None)
    truth.keep_only([other])

    assert source.read == ["gone", "other"]
    assert not truth._errands._over
    assert not truth._errands._wanted
    assert truth._known.keys() == {("other", 1)}


def test_a_rollout_without_a_guard_of_ground_truth_has_nothing_read(
    truth: DeferredTruth, source: SlowSource
) -> None:
    assert truth.evidence(rollout(plan=PLAIN), NOON) == {}
    assert truth.is_read(rollout(plan=PLAIN))
    assert source.read == []


def test_whoever_shows_guards_finds_what_was_read_last(
    source: SlowSource, clock: Clock, tmp_path: Path
) -> None:
    known = KnownTruth(tmp_path / "metrics")
    truth = DeferredTruth(source, known.write, clock)
    assert known.evidence(rollout(), NOON) == {}
    source.go.set()
    soon(lambda: truth.evidence(rollout(), NOON) or None)

    assert known.evidence(rollout(), NOON) == told(1)
    assert known.evidence(rollout(stage=0), NOON) == {}
    assert known.evidence(rollout(id="other"), NOON) == {}
    assert known.evidence(rollout(plan=PLAIN), NOON) == {}
    (tmp_path / "metrics" / "truth.json").write_bytes(b"[{")
    assert known.evidence(rollout(), NOON) == {}
