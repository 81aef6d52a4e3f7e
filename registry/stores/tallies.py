"""Counts of records by the hour, kept in the transaction that adds the records.

Each record is counted once as what it is, once under its error code, and once under each rule that
it broke, however many of its rows broke it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import apsw

from registry.entry import Heading
from registry.records import Aspect, Kind, Outcome, Tally
from registry.stores.rows import Row

_NS_PER_HOUR = 3_600_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
# Row and column of a violation, which may say last what the rule would have done.
_PLACE = re.compile(r"\[[\d,]*\](?=$| \(would [a-z]+\)$)")

_ADD = (
    "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
SELECT = (
    "SELECT hour / ?1 * ?1, kind, outcome, model, version, lane, aspect, name, sum(count)"
    " FROM tally WHERE hour >= ?2 AND hour < ?3 AND (?4 IS NULL OR model = ?4)"
    " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
)


def add(connection: apsw.Connection, headings: Iterable[Heading]) -> None:
    """Count records that the same transaction adds."""
    counts = count(headings)
    connection.executemany(_ADD, ((*key, number) for key, number in counts.items()))


def count(headings: Iterable[Heading]) -> Counter[Row]:
    """Count records as `tally` does: by its columns up to `name`."""
    plain: Counter[Row] = Counter()
    counts: Counter[Row] = Counter()
    for one in headings:
        hour = int(one.time) // _NS_PER_HOUR
        key = (hour, one.kind, one.outcome, one.model or "", one.version or 0, one.lane or "")
        plain[key] += 1
        if one.error is not None:
            counts[*key, Aspect.ERROR.value, one.error] += 1
        if one.violations or one.flags or one.observed or one.repaired:
            counts.update((*key, aspect.value, rule) for aspect, rule in _broken(one))
    for key, number in plain.items():
        counts[*key, Aspect.RECORD.value, ""] = number
    return counts


def span(since: datetime, until: datetime, hours: int, model: str | None) -> Sequence[object]:
    """Return the values that `SELECT` wants: whole periods of so many hours."""
    length = hours * _HOUR
    first = (since - _EPOCH) // length * hours
    last = -((_EPOCH - until) // length) * hours
    return (hours, first, last, model)


def to_tally(row: Row) -> Tally:
    hour, kind, outcome, model, version, lane, aspect, name, number = row
    return Tally(
        start=_EPOCH + hour * _HOUR,
        kind=Kind(kind),
        outcome=Outcome(outcome),
        model=model or None,
        version=version or None,
        lane=lane or None,
        aspect=Aspect(aspect),
        name=name,
        count=number,
    )


def _broken(one: Heading) -> Iterator[tuple[Aspect, str]]:
    for aspect, labels in (
        (Aspect.VIOLATION, one.violations),
        (Aspect.FLAG, one.flags),
        (Aspect.OBSERVED, one.observed),
        (Aspect.REPAIRED, one.repaired),
    ):
        for rule in {_PLACE.sub("", label) for label in labels}:
            yield aspect, rule
