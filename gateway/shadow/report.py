"""How a challenger stands to the live answers that it ran beside, as values for whoever asks."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from gateway.shadow.state import OutputSums, ShadowSums, Worst
from registry.rollouts import Rollout
from registry.times import from_us


class OutputReport(Struct, frozen=True, kw_only=True):
    """How one output compares: by its highest column, its values, or its numbers and a tolerance.

    `agreement` is a share of the rows, distances are of the numbers of a row, in their own unit.
    Where `tolerance` is None, numbers agree that differ by no more than rounding. `worst` are the
    rows furthest away, of one request each.
    """

    output: str
    column: int | None
    by: str
    tolerance: float | None
    rows: int
    agreement: float | None
    mean_distance: float | None
    greatest_distance: float | None
    worst: tuple[Worst, ...]


class SegmentReport(Struct, frozen=True, kw_only=True):
    """The requests of one segment that both answered, those not alike, and those that failed."""

    segment: str
    compared: int
    differing: int
    failed: int


class ShadowReport(Struct, frozen=True, kw_only=True):
    """What the shadow of a rollout has shown so far.

    `compared` requests were answered by both versions; `differing` of them differ in an output.
    `failed` and `refused` are those that the challenger, `failures` counts the first by why. `shed`
    are those that it was to have and did not get, by why, and `waiting` those that wait for it now.
    """

    rollout: str
    model: str
    champion: int
    challenger: int
    at: datetime | None
    compared: int
    differing: int
    failed: int
    refused: int
    shed: int
    waiting: int
    failures: Mapping[str, int]
    sheds: Mapping[str, int]
    outputs: tuple[OutputReport, ...]
    segments: tuple[SegmentReport, ...]


def report(
    rollout: Rollout, sums: ShadowSums | None, shed_by_workers: Mapping[str, int]
) -> ShadowReport:
    """Tell what a rollout's sums say; there are none before the first request."""
    sums = sums or ShadowSums(
        rollout=rollout.id,
        model=rollout.model,
        champion=rollout.champion,
        challenger=rollout.plan.challenger,
    )
    sheds = add_sheds(sums, shed_by_workers)
    return ShadowReport(
        rollout=sums.rollout,
        model=sums.model,
        champion=sums.champion,
        challenger=sums.challenger,
        at=from_us(sums.at_us) if sums.at_us else None,
        compared=sums.compared,
        differing=sums.differing,
        failed=sum(sums.failures.values()),
        refused=sums.refused,
        shed=sum(sheds.values()),
        waiting=sums.waiting,
        failures=sums.failures,
        sheds=sheds,
        outputs=tuple(map(_output, sums.outputs)),
        segments=tuple(
            SegmentReport(
                segment=name, compared=one.requests, differing=one.differing, failed=one.failed
            )
            for name, one in sorted(sums.segments.items())
        ),
    )


def add_sheds(sums: ShadowSums, by_workers: Mapping[str, int]) -> dict[str, int]:
    """Add what workers could not send, by `<rollout> <reason>`, to what the process let go."""
    sheds = dict(sums.sheds)
    for name, times in by_workers.items():
        rollout, _, reason = name.partition(" ")
        if rollout == sums.rollout:
            sheds[reason] = sheds.get(reason, 0) + times
    return sheds


def _output(sums: OutputSums) -> OutputReport:
    return OutputReport(
        output=sums.output,
        column=sums.column,
        by=sums.by,
        tolerance=sums.tolerance,
        rows=sums.rows,
        agreement=sums.agreeing / sums.rows if sums.rows else None,
        mean_distance=sums.distance / sums.measured if sums.measured else None,
        greatest_distance=sums.greatest if sums.measured else None,
        worst=tuple(sums.worst),
    )
