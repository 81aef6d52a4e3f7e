"""Numbers and bytes as texts, each accepted in one form only.

Where two texts meant the same, a changed byte could pass for the original.
"""

import base64
import binascii
import re

from registry.audit.verify.faults import Malformed

# Sizes and indexes are below 2**63, as the specifications have them.
LARGEST_NUMBER = (1 << 63) - 1

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def read_number(text: str, what: str) -> int:
    """Read a decimal number without sign or leading zeroes. Raises Malformed.

    >>> read_number("20852163", "size")
    20852163
    """
    if not _DECIMAL.fullmatch(text) or int(text) > LARGEST_NUMBER:
        raise Malformed(what, "is not a decimal number below 2^63 without leading zeroes")
    return int(text)


def read_base64(text: str, what: str, *, size: int | None = None) -> bytes:
    """Read standard base64 (RFC 4648, section 4), padded, with all spare bits zero.

    Raises Malformed.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(what, "is not base64") from error
    if base64.b64encode(value).decode() != text:
        raise Malformed(what, "is not base64 in its one canonical form")
    if size is not None and len(value) != size:
        raise Malformed(what, f"has {len(value)} bytes instead of {size}")
    return value
