"""What people are told of live traffic beside training, as values: of one version, lane and time.

Pure: made of a reference, counts and findings. Pages, tables and JSON show these values and nothing
else. Knows no numpy.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from gateway.monitor.cells import FeatureCells, Side, Split
from gateway.monitor.comparison import LEAST_ROWS, Comparison, Level, compare
from gateway.monitor.layout import Layout
from registry.events import Rollback
from registry.findings import Finding, FindingState, feature_name
from registry.manifest import Manifest

_WORST_FIRST = (Level.MATERIAL, Level.SIGNIFICANT, Level.NONE)
_MOST_NAMED = 4  # of a list in a sentence


class Lacking(StrEnum):
    """Why nothing can be said of a time."""

    REFERENCE = "no_reference"
    TRAFFIC = "no_traffic"
    ROWS = "too_few_rows"


class Share(Struct, frozen=True, kw_only=True):
    """How much of the values is so, in the reference and now; `what` in words."""

    what: str
    expected: float
    observed: float


class FeatureReport(Struct, frozen=True, kw_only=True):
    """One feature beside its reference.

    `label` is the class that a column of an output stands for. `bins` part the values, in order if
    `is_ordered`; where there are `edges`, between these. `counts` are what else is counted, such as
    missing. `mean` and `std` are of the numbers, without what is missing.
    """

    feature: str
    side: Side
    input: str
    column: int | None
    label: str | None
    comparison: Comparison
    is_ordered: bool
    edges: tuple[float, ...]
    bins: tuple[Share, ...]
    counts: tuple[Share, ...]
    mean: Share | None
    std: Share | None

    @property
    def name(self) -> str:
        """Name it for people."""
        if self.side is Side.JOINT:
            return "joint distance"
        return self.feature if self.label is None else f"{self.input}: {self.label}"


class DriftReport(Struct, frozen=True, kw_only=True):
    """How the traffic of a version on a lane, from `since` to `until`, stands to its reference.

    `level` is that of the worst feature, None where nothing can be said for what is `lacking`; then
    there are no features. `findings` are of that time, those still open first. `rollback` is the
    call that puts the champion before back; None where there is none, this version is not the
    champion, or nothing is open.
    """

    model: str
    version: int
    lane: str
    window: str
    since: datetime
    until: datetime
    rows: int
    least_rows: int
    reference_rows: int
    lacking: Lacking | None
    level: Level | None
    verdict: str
    features: tuple[FeatureReport, ...]
    findings: tuple[Finding, ...]
    rollback: Rollback | None

    def worst_first(self) -> list[FeatureReport]:
        """Return the features, those first that differ most."""
        return sorted(self.features, key=lambda one: (_rank(one), -one.comparison.effect))

    @property
    def open_findings(self) -> list[Finding]:
        return [one for one in self.findings if one.state is FindingState.OPEN]


class Asked(Struct, frozen=True, kw_only=True):
    """What a report is of."""

    model: str
    version: int
    lane: str
    window: str
    since: datetime
    until: datetime


def make_report(
    asked: Asked,
    *,
    manifest: Manifest,
    layout: Layout | None,
    counts: Sequence[int],
    findings: Sequence[Finding],
    rollback: Rollback | None,
) -> DriftReport:
    """Hold what was counted in a time against the reference, which `layout` lays out.

    A version without a reference has neither layout nor counts. `findings` are those of the
    version, newest first.
    """
    rows = counts[0] if counts else 0
    lacking = _lacking(layout, rows)
    features = () if lacking or layout is None else _features(layout, counts, manifest)
    found = [one for one in findings if _was_open(one, asked)]
    found.sort(key=lambda one: one.state is not FindingState.OPEN)
    levels = {one.comparison.level for one in features}
    worst = next((level for level in _WORST_FIRST if level in levels), Level.NONE)
    return DriftReport(
        **{name: getattr(asked, name) for name in Asked.__struct_fields__},
        rows=rows,
        least_rows=LEAST_ROWS,
        reference_rows=0 if layout is None else layout.reference[0],
        lacking=lacking,
        level=None if lacking else worst,
        verdict=_verdict(lacking, rows, features),
        features=features,
        findings=tuple(found),
        rollback=rollback,
    )


def _lacking(layout: Layout | None, rows: int) -> Lacking | None:
    if layout is None:
        return Lacking.REFERENCE
    if rows >= LEAST_ROWS:
        return None
    return Lacking.ROWS if rows else Lacking.TRAFFIC


def _was_open(finding: Finding, asked: Asked) -> bool:
    """Say whether a finding was open at some moment of the time."""
    return finding.ended is None or finding.ended >= asked.since


def _features(
    layout: Layout, counts: Sequence[int], manifest: Manifest
) -> tuple[FeatureReport, ...]:
    compared = zip(layout.features, compare(layout, counts), strict=True)
    labels = manifest.signature.labels
    return tuple(
        _feature(cells, layout.reference, counts, comparison, labels.get(cells.input, ()))
        for cells, comparison in compared
    )


def _feature(
    cells: FeatureCells,
    reference: Sequence[int],
    counts: Sequence[int],
    comparison: Comparison,
    labels: Sequence[str],
) -> FeatureReport:
    split = _shown(cells)
    column = cells.column
    is_class = cells.side is Side.OUTPUT and column is not None and column < len(labels)
    bins = (
        ()
        if split is None
        else tuple(
            _share(split.bin_words(number), cell, split.among, reference, counts)
            for number, cell in enumerate(split.bins)
        )
    )
    mean, std = _moments(cells, reference, counts)
    return FeatureReport(
        feature=feature_name(cells.input, column),
        side=cells.side,
        input=cells.input,
        column=column,
        label=labels[column] if is_class and column is not None else None,
        comparison=comparison,
        is_ordered=split is not None and split.is_ordered,
        edges=() if split is None else split.edges,
        bins=bins,
        counts=tuple(
            _share(count.what, count.cell, count.among, reference, counts) for count in cells.counts
        ),
        mean=mean,
        std=std,
    )


def _shown(cells: FeatureCells) -> Split | None:
    """Choose the split that people can read: by edges or by named values, before buckets."""
    legible = (split for split in cells.splits if split.edges or split.values)
    return next(legible, cells.splits[0] if cells.splits else None)


def _share(
    what: str, cell: int, among: range, reference: Sequence[int], counts: Sequence[int]
) -> Share:
    return Share(
        what=what,
        expected=_part(reference[cell], reference, among),
        observed=_part(counts[cell], counts, among),
    )


def _part(count: int, counts: Sequence[int], among: range) -> float:
    total = sum(counts[among.start : among.stop])
    return count / total if total else 0.0


def _moments(
    cells: FeatureCells, reference: Sequence[int], counts: Sequence[int]
) -> tuple[Share | None, Share | None]:
    if cells.moments is None:
        return None, None
    bins = cells.splits[0].bins
    present = [sum(summary[bins.start : bins.stop]) for summary in (reference, counts)]
    if not all(present):
        return None, None
    before = cells.moments.read(reference, present[0])
    now = cells.moments.read(counts, present[1])
    return (
        Share(what="mean", expected=before[0], observed=now[0]),
        Share(what="standard deviation", expected=before[1], observed=now[1]),
    )


def _rank(feature: FeatureReport) -> int:
    return _WORST_FIRST.index(feature.comparison.level)


def _verdict(lacking: Lacking | None, rows: int, features: Sequence[FeatureReport]) -> str:
    """Say in one sentence how the traffic stands to the reference."""
    match lacking:
        case Lacking.REFERENCE:
            return "This version was published without a reference, so nothing can be said."
        case Lacking.TRAFFIC:
            return "Nothing came in this time."
        case Lacking.ROWS:
            return f"Only {rows:,} rows came in this time; {LEAST_ROWS} are needed to say anything."
    return _of_features(features)


def _of_features(features: Sequence[FeatureReport]) -> str:
    material = [one.name for one in features if one.comparison.level is Level.MATERIAL]
    if not material:
        return "Live traffic is as in training."
    more = len(material) - _MOST_NAMED
    named = ", ".join(material[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    differ = "differs" if len(material) == 1 else "differ"
    return (
        f"{len(material)} of {len(features)} features {differ} materially from training: {named}."
    )
