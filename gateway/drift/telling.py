"""What a finding says: to people in one sentence, and which records they may want to look at."""

import re
from datetime import datetime

from registry.entry import Heading, read_heading
from registry.findings import Finding
from registry.reader import Reader
from registry.records import Kind, RecordFilter
from registry.versions import Version

_LOOKED_THROUGH = 500  # records of the time of a finding
_MOST_RECORDS = 10
_PLACE = re.compile(r"\[[\d,]*\]$")  # row and column of a violation


def sentence(finding: Finding) -> str:
    """Say what was found.

    >>> from datetime import UTC
    >>> at = datetime(2026, 11, 27, 12, 3, tzinfo=UTC)
    >>> sentence(Finding(id="", model="m", version=1, side="input", input="x", column=None,
    ...     statistic="missing", expected=0.01, observed=0.213, since=at, at=at, rows=9,
    ...     evidence=1e9))
    'missing 21.3 % where 1.0 % is expected, since 2026-11-27 12:03 UTC'
    """
    return (
        f"{finding.statistic} {_percent(finding.observed)} where {_percent(finding.expected)}"
        f" is expected, since {finding.since:%Y-%m-%d %H:%M} UTC"
    )


def records_to_look_at(
    view: Reader, version: Version, name: str, since: datetime, until: datetime
) -> tuple[str, ...]:
    """Return ids of records of a version and time, those first that broke a rule on the input.

    The newest of each. A record that broke none may be of the rows that were found all the same.
    """
    wanted = RecordFilter(
        model=version.model,
        version=version.number,
        kind=Kind.INFERENCE,
        since=since,
        until=until,
    )
    found = view.records(wanted, before=None, limit=_LOOKED_THROUGH)
    headings = [read_heading(leaf) for _, leaf in found]
    headings.sort(key=lambda one: not _names(one, name))
    return tuple(one.id for one in headings[:_MOST_RECORDS])


def _names(heading: Heading, name: str) -> bool:
    """Say whether a rule on an input was broken; labels are as in `range distance[3]`."""
    labels = (*heading.violations, *heading.flags, *heading.observed)
    return any(_PLACE.sub("", label.partition(" ")[2]) == name for label in labels)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
