"""What a detector found in the traffic of a version, as a frozen value. Times are UTC."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class FindingState(StrEnum):
    OPEN = "open"
    ENDED = "ended"  # the evidence fell back, or nothing looks any more
    CLOSED = "closed"  # a person closed it


class Finding(Struct, frozen=True, kw_only=True):
    """A statistic of one feature that left the reference, and what became of it.

    `id` is that of the record which tells of it. `side` is input, output or joint, `input` the
    tensor's name, empty for the joint distance. `statistic` says in words what is counted,
    `expected` and `observed` are shares of the rows, of which `rows` came since `since`. `evidence`
    is the e-value at `at`. `records` are ids of records to look at. `ended` is when it ended or was
    closed, `by` whom and `reason` why.
    """

    id: str
    model: str
    version: int
    side: str
    input: str
    column: int | None
    statistic: str
    expected: float
    observed: float
    since: datetime
    at: datetime
    rows: int
    evidence: float
    records: tuple[str, ...] = ()
    state: FindingState = FindingState.OPEN
    ended: datetime | None = None
    by: str | None = None
    reason: str | None = None

    @property
    def feature(self) -> str:
        return feature_name(self.input, self.column)


def feature_name(name: str, column: int | None) -> str:
    """Name a feature as people do: the tensor, a column of it, or all numbers of a row together.

    >>> feature_name("x", 2), feature_name("", None)
    ('x[2]', 'joint')
    """
    return (name or "joint") if column is None else f"{name}[{column}]"
