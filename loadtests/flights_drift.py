"""Real drift: flights of July to December held against a model of January to June.

`python -m loadtests.flights_drift` trains as the demo does, lets the model answer every later
flight in the order of departure, counts inputs and answers as workers do, looks as the controller
does, and prints what was found. Whether it is true is computed apart from all that: in numpy, on
the columns themselves.
"""

import re
from calendar import month_abbr, month_name
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.demo.flights import INPUTS, VERSION_2_MONTHS, WHEN, load_flights, train
from gateway.monitor.cells import MISSING
from gateway.monitor.comparison import Comparison, Level, compare
from gateway.monitor.detector import Detector, Finding, State
from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout, merge
from loadtests.docs import insert, write_rows
from registry.distribution import Joint, Reference
from registry.drift_policy import DriftPolicy
from registry.findings import feature_name
from registry.publishing.holdout import answer_rows
from registry.publishing.tables import match_inputs
from registry.session import open_session, read_signature
from registry.tensors import Tensor

PAGE = Path(__file__).parent.parent / "docs" / "drift.md"
LATER_MONTHS = (7, 8, 9, 10, 11, 12)
_YEAR = 2013
_AFTER = timedelta(days=30)
_JOINT = "joint"
POLICIES = {
    "the default policy": DriftPolicy(),
    "looks of a week's flights": DriftPolicy(least_rows=6_500),
}
_FOUND_HEAD = (
    "found", "feature", "statistic", "in training", "found", "computed", "true",
    "30 days after", "lasts", "ended",
)  # fmt: skip


class Traffic(Struct, frozen=True):
    """Flights in the order of departure: when [n], and each input and output, [n] or [n, k]."""

    when: NDArray[np.datetime64]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def minutes(self) -> Iterator[tuple[datetime, slice]]:
        """Part the rows by the minute that they depart in."""
        starts = np.flatnonzero(np.diff(self.when, prepend=np.datetime64("NaT", "m")) != 0)
        for start, end in pairwise([*starts.tolist(), len(self.when)]):
            yield self.when[start].item().replace(tzinfo=UTC), slice(start, end)


class Block(Struct, frozen=True):
    """What was counted in one minute."""

    minute: datetime
    counts: Sequence[int]


class Episode(Struct, frozen=True):
    """What was found, and when it was over; None where it was not by the end."""

    finding: Finding
    ended: datetime | None


def fly(artifact: bytes, months: Sequence[int]) -> Traffic:
    """Let a model answer all flights of some months, in the order of departure."""
    flights = load_flights()
    flights = flights[flights["month"].isin(months)]
    flights = flights.sort_values(["month", "day", "hour", "minute"], kind="stable")
    columns = {name: flights[name].to_numpy() for name in (*WHEN, *INPUTS)}
    when = np.array(
        [
            f"{_YEAR}-{month:02}-{day:02}T{int(hour):02}:{minute:02}"
            for month, day, hour, minute in zip(
                *(columns[name].tolist() for name in ("month", "day", "hour", "minute")),
                strict=True,
            )
        ],
        "datetime64[m]",
    )
    signature = read_signature(open_session(artifact))
    return Traffic(when, match_inputs(columns, signature), answer_rows(artifact, columns, "drift"))


def count(artifact: bytes, reference: Reference, traffic: Traffic) -> list[Block]:
    """Count as workers do, a minute at a time."""
    signature = read_signature(open_session(artifact))
    folder = Folder(Layout.of(reference), reference, signature)
    blocks = []
    for minute, rows in traffic.minutes():
        before = folder.counts.copy()
        folder.add(
            {name: tensor[rows] for name, tensor in traffic.inputs.items()},
            {name: tensor[rows] for name, tensor in traffic.outputs.items()},
        )
        folder.fold()
        blocks.append(Block(minute, (folder.counts - before).tolist()))
    return blocks


def watch(
    layout: Layout, blocks: Sequence[Block], policy: DriftPolicy
) -> tuple[list[Episode], int]:
    """Look as the controller does; returns what was found, in this order, and how many looks."""
    detector = Detector(layout, average_run_length=policy.run_length, tolerance=policy.tolerance)
    state, looks, rows = State(), 0, 0
    told: list[Finding] = []
    waiting: list[Block] = []
    for block in blocks:
        waiting.append(block)
        rows += block.counts[0]
        elapsed_s = (block.minute - waiting[0].minute).total_seconds()
        if rows >= policy.least_rows and elapsed_s >= policy.look_s:
            counts = [one.counts for one in waiting]
            look = detector.look(state, counts, waiting[0].minute, block.minute)
            state, looks, rows = look.state, looks + 1, 0
            told += look.findings
            waiting.clear()
    return list(_episodes(told)), looks


def _episodes(told: Sequence[Finding]) -> Iterator[Episode]:
    """Join what was found with the word that it is over."""
    for number, finding in enumerate(told):
        if not finding.has_ended:
            later = (one for one in told[number + 1 :] if one.has_ended)
            over = (one.at for one in later if _place(one) == _place(finding))
            yield Episode(finding, next(over, None))


def _place(finding: Finding) -> tuple[str, int | None]:
    return finding.input, finding.column


class Truth:
    """Shares of raw columns, in numpy: apart from layouts, folders and detectors."""

    def __init__(self, traffic: Traffic, reference: Reference) -> None:
        self._when = traffic.when
        self._tensors = {**traffic.inputs, **traffic.outputs}
        if reference.joint is not None:
            self._tensors[_JOINT] = self._distances(reference, reference.joint)

    def share(self, finding: Finding, since: datetime, until: datetime) -> float:
        """Compute the share that a finding tells of, in a time; NaN where nothing departed."""
        start, end = (np.datetime64(at.replace(tzinfo=None), "m") for at in (since, until))
        rows = (self._when >= start) & (self._when <= end)
        tensor = self._tensors[finding.input or _JOINT]
        values = tensor[rows].reshape(rows.sum(), -1)[:, finding.column or 0]
        if not len(values):
            return float("nan")
        if values.dtype.kind in "OUS":
            return float((values == finding.statistic.removeprefix("share of ")).mean())
        numbers = values.astype(np.float64)
        is_missing = np.isnan(numbers)
        if finding.statistic == MISSING:
            return float(is_missing.mean())
        return float(_test_of(finding.statistic)(_rounded(numbers[~is_missing])).mean())

    def _distances(self, reference: Reference, joint: Joint) -> Tensor:
        """Compute squared distances from the middle of training; what is missing is the middle."""
        names = [reference.features[place].input for place in joint.features]
        rows = np.stack([self._tensors[name].reshape(-1).astype(np.float64) for name in names])
        away = np.nan_to_num(rows - np.array(joint.mean)[:, None])
        whitening = np.zeros((len(names), len(names)))
        whitening[np.tril_indices(len(names))] = joint.whitening
        return np.asarray(((whitening @ away) ** 2).sum(axis=0))


def _test_of(words: str) -> Callable[[NDArray[np.float64]], NDArray[np.bool_]]:
    """Read the words of a statistic; its numbers have six digits."""
    numbers = [float(found) for found in re.findall(r"-?\d[\d.]*(?:e[+-]\d+)?", words)]
    if "between" in words:
        low, high = numbers
        return lambda values: (low < values) & (values <= high)
    [number] = numbers
    if "above" in words:
        return lambda values: values > number
    if "at or below" in words:
        return lambda values: values <= number
    return lambda values: values == number


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to the digits that words have."""
    distinct, places = np.unique(values, return_inverse=True)
    return np.array([float(f"{value:.6g}") for value in distinct.tolist()])[places]


class Checked(Struct, frozen=True):
    """A finding beside what was true of the same rows, and of those of the 30 days after it."""

    episode: Episode
    then: float
    after: float
    is_true: bool
    lasts: bool


def check(episode: Episode, truth: Truth, policy: DriftPolicy) -> Checked:
    """Hold a finding against the columns: is it beyond the tolerance, and does it stay so?"""
    finding = episode.finding
    direction = 1 if finding.observed > finding.expected else -1

    def is_beyond(share: float) -> bool:
        return direction * (share - finding.expected) > policy.tolerance

    then = truth.share(finding, finding.since, finding.at)
    after = truth.share(finding, finding.at + timedelta(minutes=1), finding.at + _AFTER)
    return Checked(episode, then, after, is_beyond(then), is_beyond(after))


def table_of_findings(checked: Sequence[Checked]) -> list[str]:
    """Write what was found, and whether it is true."""
    return write_rows(_FOUND_HEAD, map(_line, checked))


def _line(checked: Checked) -> Sequence[str]:
    finding, ended = checked.episode.finding, checked.episode.ended
    return (
        f"{finding.at:%d %b %H:%M}",
        feature_name(finding.input, finding.column),
        finding.statistic,
        f"{finding.expected:.1%}",
        f"{finding.observed:.1%} of {finding.rows:,}",
        f"{checked.then:.1%}",
        "yes" if checked.is_true else "no",
        f"{checked.after:.1%}",
        "yes" if checked.lasts else "no",
        "" if ended is None else f"{ended:%d %b}",
    )


def table_of_months(layout: Layout, blocks: Sequence[Block]) -> list[str]:
    """Write how each month compares with training, as reports for people tell it."""
    months = sorted({block.minute.month for block in blocks})
    compared = []
    for month in months:
        total = layout.empty()
        for block in blocks:
            if block.minute.month == month:
                total = merge(total, block.counts)
        compared.append(compare(layout, total))
    lines = [
        (feature_name(cells.input, cells.column), *map(_level, of_months))
        for cells, of_months in zip(layout.features, zip(*compared, strict=True), strict=True)
    ]
    return write_rows(("feature", *(month_abbr[month] for month in months)), lines)


def _level(comparison: Comparison) -> str:
    distance = f"{comparison.js_distance:.2f}"
    return f"**{distance}**" if comparison.level is Level.MATERIAL else distance


def report(artifact: bytes, reference: Reference) -> Iterator[str]:
    """Write what came of the later months, and of those of training for comparison."""
    layout = Layout.of(reference)
    for months in (LATER_MONTHS, VERSION_2_MONTHS):
        traffic = fly(artifact, months)
        blocks = count(artifact, reference, traffic)
        truth = Truth(traffic, reference)
        named = f"{month_name[months[0]]} to {month_name[months[-1]]}"
        for name, policy in POLICIES.items():
            episodes, looks = watch(layout, blocks, policy)
            checked = [check(episode, truth, policy) for episode in episodes]
            yield (
                f"{named}, {name}: {len(traffic.when):,} flights, {looks} looks,"
                f" {len(checked)} findings, {sum(one.is_true for one in checked)} true,"
                f" {sum(one.lasts for one in checked)} lasting."
            )
            if months is LATER_MONTHS:
                yield from ("", *table_of_findings(checked), "")
            else:
                yield ""
        if months is LATER_MONTHS:
            yield "JS distance from training by month; where the difference is material, in bold:"
            yield from ("", *table_of_months(layout, blocks), "")


@click.command()
@click.option("--write", is_flag=True, help="Write it into docs/drift.md, too.")
def main(*, write: bool) -> None:
    """Print what is found in the flights of July to December, and whether it is true."""
    artifact, draft = train(VERSION_2_MONTHS)
    assert draft.reference is not None
    lines = []
    for line in report(artifact, draft.reference):
        click.echo(line)
        lines.append(line)
    if write:
        PAGE.write_text(insert(PAGE.read_text(), "\n".join(["", *lines, ""])))


if __name__ == "__main__":
    main()
