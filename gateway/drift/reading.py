"""Reads what a report is made of: windows of the store, findings, the version's own reference."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from gateway.drift.period import Period
from gateway.drift.report import Asked, DriftReport, make_report
from gateway.monitor.layout import Layout, from_bytes
from registry.announcing import champion_rollback
from registry.errors import AliasNotFound
from registry.events import Rollback
from registry.findings import Finding, FindingState
from registry.reader import Reader
from registry.records import Lane
from registry.registry import Registry
from registry.versions import CHAMPION
from registry.windows import CELL, Window


def read_report(
    registry: Registry,
    model: str,
    period: Period,
    *,
    at: datetime,
    version: int | None = None,
    lane: Lane = Lane.CHAMPION,
) -> DriftReport:
    """Report on the traffic of a version, by default the champion, in the time before `at`.

    Raises ModelNotFound, VersionNotFound, and AliasNotFound where there is no champion.
    """
    with registry.store.snapshot() as view:
        champion = view.aliases(model).get(CHAMPION)
        number = champion if version is None else version
        if number is None:
            registry.versions(model)  # a model that there is none of is told as such
            raise AliasNotFound(model, CHAMPION)
        asked = Asked(
            model=model, version=number, lane=lane, window=period.text,
            since=period.since(at), until=at,
        )  # fmt: skip
        manifest = registry.manifest(registry.version(model, number))
        layout = None if manifest.reference is None else Layout.of(manifest.reference)
        windows = view.windows(model, number, lane, period.span, since=asked.since, until=at)
        findings = [one for one in view.findings(model) if one.version == number]
        rollback = _rollback(view, model, findings) if number == champion else None
    counts = [] if layout is None else add_up(windows, layout.size)
    return make_report(
        asked, manifest=manifest, layout=layout, counts=counts,
        findings=findings, rollback=rollback,
    )  # fmt: skip


def add_up(windows: Iterable[Window], cells: int) -> list[int]:
    """Add the counts of windows, `cells` each; counts of another layout are left out.

    As one long integer each: cells are never negative and their sums fit 63 bits, so nothing is
    carried from one cell to the next. It takes a fourteenth of the time of a loop over cells.
    """
    size = cells * CELL
    fitting = (one.counts for one in windows if len(one.counts) == size)
    total = sum(int.from_bytes(counts, "little") for counts in fitting)
    return from_bytes(total.to_bytes(size, "little"))


def _rollback(view: Reader, model: str, findings: Sequence[Finding]) -> Rollback | None:
    """Write the call that puts the champion before back, on account of what is open."""
    for finding in findings:
        if finding.state is FindingState.OPEN:
            return champion_rollback(view, model, finding.id)
    return None
