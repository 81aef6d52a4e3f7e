"""Summaries for people: how many records of each period were alike, and what went wrong in them."""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from registry.errors import InvalidRequest
from registry.manifest import RuleKind
from registry.reader import Reader
from registry.records import Aspect, Kind, Outcome, Tally
from registry.versions import Version

MOST_PERIODS = 1_000


class By(StrEnum):
    """How long a period of a summary is; days are those of UTC."""

    HOUR = "hour"
    DAY = "day"


_HOURS = {By.HOUR: 1, By.DAY: 24}
# What is summed up where nobody says from when.
_USUAL = {By.HOUR: timedelta(days=1), By.DAY: timedelta(days=30)}


class Line(Struct, kw_only=True):
    """Records of one period that are alike: how many, and how many of them met what.

    `errors` counts them by code, `violations`, `flags`, `observed` and `repaired` by rule and
    input; a record counts once under each rule that it broke, however many of its rows broke it.
    """

    start: datetime
    kind: Kind
    outcome: Outcome
    model: str | None
    version: int | None
    lane: str | None
    records: int = 0
    errors: dict[str, int]
    violations: dict[str, int]
    flags: dict[str, int]
    observed: dict[str, int]
    repaired: dict[str, int]


def summarise(
    store: Reader,
    *,
    by: By,
    until: datetime,
    since: datetime | None = None,
    model: str | None = None,
) -> list[Line]:
    """Count the integrated records of a time, or those of one model, period by period.

    Periods that `since` and `until` lie in are counted whole; without `since` the last day is
    counted by hours, the last 30 days by days. Raises InvalidRequest for more than 1,000 periods.
    """
    if since is None:
        since = until - min(_USUAL[by], until - datetime.min.replace(tzinfo=until.tzinfo))
    if (until - since) / timedelta(hours=_HOURS[by]) > MOST_PERIODS:
        raise InvalidRequest(
            "from", f"A summary has at most {MOST_PERIODS:,} periods; ask for less time, or by=day."
        )
    lines: dict[tuple[object, ...], Line] = {}
    for one in store.tallies(since=since, until=until, hours=_HOURS[by], model=model):
        key = (one.start, one.kind, one.outcome, one.model, one.version, one.lane)
        line = lines.get(key)
        if line is None:
            line = lines[key] = _empty(one)
        _add(line, one)
    return list(lines.values())


class RuleCount(Struct, kw_only=True):
    """How many requests to a version broke a rule of its contract, by what was done about it.

    `rule` is its kind and the name of its tensor; where it was warming up, or suspended, it says
    what it would have done.
    """

    rule: str
    refused: int = 0
    flagged: int = 0
    repaired: int = 0
    observed: int = 0


_EFFECTS = {
    Aspect.VIOLATION: "refused",
    Aspect.FLAG: "flagged",
    Aspect.REPAIRED: "repaired",
    Aspect.OBSERVED: "observed",
}


def count_rules(store: Reader, version: Version, until: datetime) -> list[RuleCount]:
    """Count the integrated requests that broke a rule of a version's contract, by rule."""
    found: dict[str, RuleCount] = {}
    tallies = store.tallies(
        since=version.created, until=until, hours=_HOURS[By.DAY], model=version.model
    )
    for one in tallies:
        effect = _EFFECTS.get(one.aspect)
        is_rule = one.name.partition(" ")[0] in set(RuleKind)
        if effect is not None and one.version == version.number and is_rule:
            line = found.setdefault(one.name, RuleCount(rule=one.name))
            setattr(line, effect, getattr(line, effect) + one.count)
    return [found[name] for name in sorted(found)]


def _empty(one: Tally) -> Line:
    return Line(
        start=one.start,
        kind=one.kind,
        outcome=one.outcome,
        model=one.model,
        version=one.version,
        lane=one.lane,
        errors={},
        violations={},
        flags={},
        observed={},
        repaired={},
    )


def _add(line: Line, one: Tally) -> None:
    match one.aspect:
        case Aspect.RECORD:
            line.records = one.count
        case Aspect.ERROR:
            line.errors[one.name] = one.count
        case Aspect.VIOLATION:
            line.violations[one.name] = one.count
        case Aspect.FLAG:
            line.flags[one.name] = one.count
        case Aspect.OBSERVED:
            line.observed[one.name] = one.count
        case Aspect.REPAIRED:
            line.repaired[one.name] = one.count
