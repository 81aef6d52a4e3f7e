"""What guards are told of ground truth while a challenger is rolled out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.rollout.steering import Steering
from gateway.truth.evidence import LaneRow, RolloutTruth, TruthReader, paired, unpaired
from registry import rolling_out, truth
from registry.recording import append_record
from registry.records import Lane
from registry.registry import Registry
from registry.rollouts import (
    Better,
    Guard,
    GuardKind,
    Phase,
    Plan,
    Rollout,
    Step,
    TruthEvidence,
)
from registry.truth_policy import LabelKind, TruthPolicy
from registry.versions import Version
from tests.builders import AUTHOR, linear_model, publish
from tests.labelled import answer, keep, say, tell

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BRIER = Guard(kind=GuardKind.TRUTH, margin=0.01, metric="brier", better=Better.LOWER)
ACCURACY = Guard(kind=GuardKind.TRUTH, margin=0.01, metric="accuracy")


def rollout(**fields: Any) -> Rollout:
    guards = (Guard(kind=GuardKind.ERRORS, margin=2.0), BRIER, ACCURACY)
    plan = Plan(challenger=2, guards=guards, shadow=Step(points=10_000), steps=(Step(points=500),))
    defaults = {
        "id": "r", "model": "sum", "champion": 1, "plan": plan, "phase": Phase.CANARY, "stage": 1,
        "salt": "", "base": 0, "edges_us": (0, 0, 0), "author": "a", "reason": "b",
        "started": NOON, "entered": NOON,
    }  # fmt: skip
    return Rollout(**(defaults | fields))


NOTHING = TruthEvidence(blocks=0, sum=0.0, squares=0.0, challenger=0, champion=0)
SHADOW = rollout(phase=Phase.SHADOW, stage=0)


@pytest.fixture
def versions(registry: Registry) -> tuple[Version, Version]:
    one = publish(registry, "sum", linear_model())
    two = publish(registry, "sum", linear_model(2.0), promote=False)
    policy = TruthPolicy(kind=LabelKind.CLASSES, horizon_s=3600)
    truth.set_truth_policy(registry, "sum", policy, AUTHOR)
    return one, two


def lanes(challenger: str, value: float = 1.0) -> list[LaneRow]:
    """Rows of the lanes as a text has them: x the challenger's, o the champion's."""
    return [LaneRow(is_challenger=c == "x", value=value if c == "x" else 0.0) for c in challenger]


def test_a_block_ends_when_both_lanes_have_25_rows() -> None:
    found = unpaired(lanes("x" * 25 + "o" * 25 + "o" * 40 + "x" * 25 + "xo"))

    assert found == TruthEvidence(blocks=2, sum=2.0, squares=2.0, challenger=50, champion=65)


def test_rows_before_the_challengers_first_are_left_out() -> None:
    found = unpaired(lanes("o" * 500 + "x" * 25 + "o" * 25))

    assert (found.champion, found.challenger) == (25, 25)


def test_what_changes_for_both_lanes_changes_no_difference() -> None:
    rng = np.random.default_rng(1)
    rows = [
        LaneRow(is_challenger=bool(is_challenger), value=float(hour) + noise)
        for hour in range(20)
        for is_challenger, noise in zip(
            rng.random(200) < 0.3, rng.normal(0, 0.1, 200).tolist(), strict=True
        )
    ]

    found = unpaired(rows)

    assert found.blocks > 30
    # The hours differ by up to 19, and the lanes by nothing.
    assert abs(found.sum / found.blocks) < 0.1


def test_pairs_are_compared_in_whole_blocks() -> None:
    found = paired([0.5] * 60)

    assert found == TruthEvidence(blocks=2, sum=1.0, squares=0.5, challenger=50, champion=50)


def send(registry: Registry, version: Version, count: int, said: float, **fields: Any) -> list[str]:
    """Have a row answered each second; those of the canary come half a second after the others."""
    first = NOON + timedelta(seconds=0.5 if fields else 0)
    return keep(
        registry,
        [
            answer(version, say(said), first + timedelta(seconds=number), **fields)
            for number in range(count)
        ],
    )


def test_lanes_are_compared_by_each_metric_of_a_guard(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 60, 0.9)
    canary = send(registry, versions[1], 30, 0.6, lane=Lane.CANARY, rollout="r")
    other = send(registry, versions[1], 30, 0.1, lane=Lane.CANARY, rollout="another")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary, *other)))

    found = RolloutTruth(registry).evidence(rollout(), NOON + 2 * HOUR)

    assert found.keys() == {1, 2}
    assert (found[1].blocks, found[1].challenger) == (1, 25)
    assert found[1].sum == pytest.approx(0.16 - 0.01)
    assert found[2].sum == 0.0


def test_rows_whose_labels_are_not_due_say_nothing_yet(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 26, 0.9)
    canary = send(registry, versions[1], 25, 0.6, lane=Lane.CANARY, rollout="r")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary)))
    reader = RolloutTruth(registry)

    early = reader.evidence(rollout(), NOON + HOUR)
    late = reader.evidence(rollout(), NOON + 2 * HOUR)

    assert (early[1].blocks, late[1].blocks) == (0, 1)


def test_a_shadow_is_paired_with_the_answers_that_it_ran_beside(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 40, 0.9)
    reader = RolloutTruth(registry)
    assert reader.evidence(SHADOW, NOON + 2 * HOUR)[1] == NOTHING
    keep(
        registry,
        [
            answer(
                versions[1], say(0.6), NOON + timedelta(seconds=number), lane=Lane.SHADOW, twin=one
            )
            for number, one in enumerate(live[:30])
        ],
    )
    tell(registry, tmp_path, "sum", *((one, 1) for one in live))

    found = reader.evidence(SHADOW, NOON + 3 * HOUR)

    assert found[1].sum == pytest.approx(0.16 - 0.01)
    assert (found[1].blocks, found[1].challenger, found[1].champion) == (1, 25, 25)


def test_a_correction_changes_what_is_known(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 26, 0.9)
    canary = send(registry, versions[1], 25, 0.6, lane=Lane.CANARY, rollout="r")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary)))
    reader = RolloutTruth(registry)
    before = reader.evidence(rollout(), NOON + 2 * HOUR)
    tell(registry, tmp_path, "sum", *((one, 0) for one in canary))

    kept = reader.evidence(rollout(), NOON + 2 * HOUR + timedelta(seconds=1))
    after = reader.evidence(rollout(), NOON + 2 * HOUR + timedelta(seconds=11))

    assert before[2].sum == kept[2].sum == 0.0
    assert after[2].sum == -1.0


def test_a_metric_that_a_version_has_not_leaves_no_evidence(
    registry: Registry, versions: tuple[Version, Version]
) -> None:
    guards = (replace(BRIER, metric="absolute_error"), replace(BRIER, metric="revenue"))
    other = rollout(plan=Plan(challenger=2, guards=guards, steps=(Step(points=1),)), stage=0)

    found = RolloutTruth(registry).evidence(other, NOON + 2 * HOUR)

    assert found == {0: NOTHING}


def test_labels_that_went_with_their_payloads_are_evidence_no_more(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 26, 0.9)
    canary = send(registry, versions[1], 25, 0.6, lane=Lane.CANARY, rollout="r")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary)))
    reader = RolloutTruth(registry)
    first = reader.evidence(rollout(), NOON + 2 * HOUR)
    with registry.store.write() as tx:  # the payloads go, and their labels with them
        append_record(tx, "gone", AUTHOR, NOON)
        tx.expire([found[0] for one in canary[:5] if (found := registry.store.record(one))])

    second = reader.evidence(rollout(), NOON + 3 * HOUR)

    assert (first[1].blocks, second[1].blocks) == (1, 0)


def test_what_the_champion_answered_for_a_challenger_that_failed_is_left_out(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 26, 0.9)
    canary = send(registry, versions[1], 25, 0.6, lane=Lane.CANARY, rollout="r")
    rescued = send(registry, versions[0], 25, 0.1, rollout="r", canary_error="model-failed")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary, *rescued)))

    found = RolloutTruth(registry).evidence(rollout(), NOON + 2 * HOUR)

    assert (found[1].blocks, found[1].champion) == (1, 25)
    assert found[1].sum == pytest.approx(0.16 - 0.01)


def test_rollouts_are_read_apart_and_forgotten_when_they_are_over(
    registry: Registry, versions: tuple[Version, Version], tmp_path: Path
) -> None:
    live = send(registry, versions[0], 26, 0.9)
    canary = send(registry, versions[1], 25, 0.6, lane=Lane.CANARY, rollout="r")
    tell(registry, tmp_path, "sum", *((one, 1) for one in (*live, *canary)))
    reader = TruthReader(registry)
    other = rollout(id="other")

    assert reader.evidence(rollout(), NOON + 2 * HOUR)[1].blocks == 1
    assert reader.evidence(other, NOON + 2 * HOUR)[1] == NOTHING
    reader.keep_only([other])
    tell(registry, tmp_path, "sum", *((one, 0) for one in canary))

    # Nothing is kept of it, so it is read anew at once.
    assert reader.evidence(rollout(), NOON + 2 * HOUR)[2].sum == -1.0
    plain = rollout(plan=Plan(challenger=2, guards=(), steps=(Step(points=1),)))
    assert reader.evidence(plain, NOON + 2 * HOUR) == {}


@pytest.mark.parametrize("is_shadow", [False, True], ids=["canary", "shadow"])
@pytest.mark.parametrize("said", [0.2, 0.9], ids=["worse", "as good"])
def test_labels_that_come_late_roll_a_worse_challenger_back(
    registry: Registry,
    versions: tuple[Version, Version],
    tmp_path: Path,
    *,
    said: float,
    is_shadow: bool,
) -> None:
    step = Step(points=500, min_s=9e5)
    stages: dict[str, Any] = {"shadow": step} if is_shadow else {"steps": (step,)}
    plan = Plan(challenger=2, guards=(replace(BRIER, margin=0.1),), max_s=1e6, **stages)
    started = rolling_out.start(registry, "sum", plan, "to try it", AUTHOR, edges_us=(0,))
    at = started.started
    rng = np.random.default_rng(7)

    def send_all(version: Version, score: float, offset: float, **fields: Any) -> list[str]:
        said = (score + rng.normal(0, 0.05, 1_000)).tolist()
        moments = (at + timedelta(seconds=number + offset) for number in range(1_000))
        beside = live if is_shadow and fields else [None] * 1_000
        return keep(
            registry,
            [
                answer(version, say(one), moment, twin=twin, **fields)
                for one, moment, twin in zip(said, moments, beside, strict=True)
            ],
        )

    live = send_all(versions[0], 0.9, 0.0)
    lane = Lane.SHADOW if is_shadow else Lane.CANARY
    others = send_all(versions[1], said, 0.5, lane=lane, rollout=started.id)
    for ids in (live,) if is_shadow else (live, others):
        tell(registry, tmp_path, "sum", *((one, 1) for one in ids))

    def phase_at(hours: int) -> Phase:
        clock = at + hours * HOUR
        Steering(registry, AUTHOR, TruthReader(registry), lambda: clock).run()
        found = registry.store.rollout(started.id)
        assert found is not None
        return found.phase

    before = started.phase
    assert phase_at(1) is before  # no label is due
    assert phase_at(2) is (Phase.ROLLED_BACK if said < 0.5 else before)
