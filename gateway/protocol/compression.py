"""Bodies packed with gzip or deflate, unpacked within a limit whatever they hold.

`deflate` is the zlib format, as HTTP defines it and as clients send it.
"""

import re
import zlib

from gateway.errors import BodyTooLarge, UnsupportedEncoding
from gateway.protocol.refusal import Refusal, refuse

_WINDOWS = {"gzip": 31, "deflate": 15}  # how zlib is told the format
# The event loop waits for it, so the fastest.
_LEVEL = 1


def decompress(body: bytes, encoding: str, limit: int) -> bytes | Refusal:
    """Unpack a body of at most `limit` bytes; no more than that is ever held of a larger one.

    Refuses what is cut off, what follows the end, and more than one member.
    """
    if encoding == "identity":
        return body
    window = _WINDOWS.get(encoding)
    if window is None:
        return _refusal_of(UnsupportedEncoding())
    unpacking = zlib.decompressobj(window)
    try:
        unpacked = unpacking.decompress(body, limit + 1)
    except zlib.error:
        return refuse("malformed-encoding")
    if len(unpacked) > limit:
        return _refusal_of(BodyTooLarge(limit))
    if not unpacking.eof or unpacking.unused_data:
        return refuse("malformed-encoding")
    return unpacked


def compress(body: bytes, encoding: str) -> bytes:
    """Pack a body with `gzip` or `deflate`; equal bodies give equal bytes."""
    packing = zlib.compressobj(_LEVEL, wbits=_WINDOWS[encoding])
    return packing.compress(body) + packing.flush()


def choose_encoding(accepted: str | None) -> str | None:
    """Return the first encoding that a caller names and that is served; None if there is none.

    >>> choose_encoding("br, gzip;q=0.5, deflate"), choose_encoding("gzip;q=0, *")
    ('gzip', None)
    """
    for part in (accepted or "").lower().split(","):
        name, _, weight = part.partition(";")
        is_refused = re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is not None
        if name.strip() in _WINDOWS and not is_refused:
            return name.strip()
    return None


def _refusal_of(fault: BodyTooLarge | UnsupportedEncoding) -> Refusal:
    return Refusal(fault.slug, str(fault))
