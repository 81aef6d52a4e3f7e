"""Which time a report is of, and which windows of the store make it up."""

import re
from datetime import datetime, timedelta

from msgspec import Struct

from registry.errors import InvalidRequest
from registry.times import from_us
from registry.windows import Span

DEFAULT = "24h"
_FORM = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LONGEST = Span.DAY.kept_for


class Period(Struct, frozen=True):
    """The time of a length that ends now, made up of windows of a span."""

    text: str
    length: timedelta
    span: Span

    def since(self, until: datetime) -> datetime:
        """Return where the first window begins: none that began earlier than was asked counts."""
        beginning, step = until - self.length, self.span.length
        return beginning + (from_us(0) - beginning) % step


def read_period(text: str) -> Period:
    """Read a length of time as people write it. Raises InvalidRequest.

    The finest windows that are kept for so long make it up.

    >>> read_period("24h").span, read_period("30d").span
    (<Span.MINUTE: 'minute'>, <Span.HOUR: 'hour'>)
    """
    found = _FORM.fullmatch(text)
    length = timedelta(0) if found is None else int(found[1]) * _UNITS[found[2]]
    if not timedelta(0) < length <= _LONGEST:
        raise InvalidRequest(
            "window",
            "A window is a number of minutes, hours or days, as in 90m, 24h or 30d, and at most"
            f" {_LONGEST.days:,} days.",
        )
    span = next(span for span in Span if span.kept_for >= length)
    return Period(text, length, span)
