"""What the checker finds: the exceptions of its parts, and the value that a report holds."""

from dataclasses import dataclass


class Invalid(Exception):
    """Something is not what it claims to be."""


class Malformed(Invalid):
    """Bytes are not in the format that they must have."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"The {what} {why}.")


class Mismatch(Invalid):
    """Bytes are well formed, and contradict what was signed or said elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why a log or a receipt is not valid.

    The first record that does not fit is between the indexes `first` and `last`; None where it is
    not a record that is at fault. `record_id` is known where it is one record and can be read.
    """

    reason: str
    first: int | None = None
    last: int | None = None
    record_id: str | None = None


class Misfit(Invalid):
    """A record does not fit, or one of a range."""

    def __init__(
        self, reason: str, *, first: int, last: int | None = None, record_id: str | None = None
    ) -> None:
        super().__init__(reason)
        last = first if last is None else last
        self.fault = Fault(reason=reason, first=first, last=last, record_id=record_id)
