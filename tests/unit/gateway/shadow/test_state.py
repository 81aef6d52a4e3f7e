from pathlib import Path

import msgspec

from gateway.shadow.report import report
from gateway.shadow.state import (
    MOST_SEGMENTS,
    NONE,
    OTHERS,
    WORST_KEPT,
    OutputSums,
    ShadowFiles,
    ShadowSums,
    Worst,
)
from registry.rollouts import Guard, GuardKind, Phase, Plan, Rollout, Step
from registry.times import from_us

ROLLOUT = Rollout(
    id="r", model="sum", champion=1,
    plan=Plan(
        challenger=2, guards=(Guard(kind=GuardKind.ERRORS, margin=2.0),), shadow=Step(points=1)
    ),
    phase=Phase.SHADOW, stage=0, salt="s", base=0, edges_us=(0,), author="a", reason="r",
    started=from_us(1), entered=from_us(1),
)  # fmt: skip


def sums() -> ShadowSums:
    return ShadowSums(rollout="r", model="sum", champion=1, challenger=2)


def worst(number: int, distance: float | None) -> Worst:
    return Worst(
        record_id=f"live-{number}", shadow_record_id=f"shadow-{number}", row=0,
        distance=distance, segment=None,
    )  # fmt: skip


def test_the_furthest_rows_are_kept_and_no_more_than_there_is_room_for() -> None:
    output = OutputSums(output="y", column=None, by="number", tolerance=None)

    for number in range(3 * WORST_KEPT):
        output.keep(worst(number, float(number % 20)))

    assert len(output.worst) == WORST_KEPT
    distances = [one.distance for one in output.worst]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == 19.0


def test_of_rows_without_a_distance_the_first_are_kept() -> None:
    output = OutputSums(output="y", column=None, by="value", tolerance=None)

    for number in range(2 * WORST_KEPT):
        output.keep(worst(number, None))

    assert [one.record_id for one in output.worst] == [f"live-{n}" for n in range(WORST_KEPT)]


def test_segments_beyond_the_most_are_counted_as_one() -> None:
    kept = sums()

    for number in range(MOST_SEGMENTS + 50):
        kept.segment(f"value-{number}").requests += 1
    kept.segment(None).requests += 1

    assert kept.segments[OTHERS].requests == 51
    assert NONE not in kept.segments
    assert len(kept.segments) == MOST_SEGMENTS + 1


def test_sums_are_read_as_they_were_written_and_torn_ones_are_none(tmp_path: Path) -> None:
    files, kept = ShadowFiles(tmp_path), sums()
    kept.segment("A").requests = 3
    kept.failures["not-finite"] = 2

    files.write(kept)

    assert files.read("r") == kept
    assert files.read("another") is None
    path = tmp_path / "r.shadow"
    path.write_bytes(path.read_bytes()[:-3])
    assert files.read("r") is None


def test_a_report_adds_what_workers_could_not_send() -> None:
    kept = sums()
    kept.sheds["old"] = 2

    found = report(ROLLOUT, kept, {"r full": 3, "r old": 1, "another full": 9})

    assert found.sheds == {"old": 3, "full": 3}
    assert found.shed == 6


def test_a_report_of_a_shadow_that_met_nothing_is_empty() -> None:
    found = report(ROLLOUT, None, {})

    assert (found.compared, found.outputs, found.at) == (0, (), None)
    assert msgspec.json.decode(msgspec.json.encode(found))["challenger"] == 2
