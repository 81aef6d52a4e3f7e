"""The header `traceparent` of W3C Trace Context: the trace of the caller's a request is part of."""

import re

from msgspec import Struct

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceContext(Struct, frozen=True):
    """The caller's trace, its span that this request is part of, and whether it is kept."""

    trace_id: str
    parent_id: str
    is_sampled: bool


def parse_traceparent(header: str | None) -> TraceContext | None:
    """Read the header, or return None where it is absent or in any way malformed.

    A later version of the format may have more behind a further dash, and is read as far as it is
    known.

    >>> parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_sampled
    True
    """
    found = None if header is None else _FORM.fullmatch(header)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & _SAMPLED))
