"""Where messages may be sent to.

The gateway posts to whatever address an admin names, in its own network too, and follows no
redirect from there. Nobody is shown more of an answer than its status.
"""

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from registry.errors import InvalidRequest

_LONGEST = 2_000
_FIELD = "url"


def check_address(url: str, *, allow_plain: bool) -> None:
    """Accept an address that has `https`, or `http` on this machine or where that is allowed.

    Raises InvalidRequest.
    """
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest(_FIELD, f"An address has up to {_LONGEST:,} characters of ASCII.")
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequest(_FIELD, "An address is like https://receiver.example/path.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidRequest(_FIELD, "An address has no user, no password and no fragment.")
    if parts.scheme == "http" and not (allow_plain or _is_loopback(parts.hostname)):
        raise InvalidRequest(
            _FIELD, "An address on another machine has https, unless http is allowed."
        )


def beginning_of(url: str) -> str:
    """Return what may be shown of an address whose path is a secret.

    >>> beginning_of("https://hooks.slack.example/services/T0/B0/x")
    'https://hooks.slack.example/…'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked
    except ValueError as error:
        raise InvalidRequest(_FIELD, "This is no address.") from error
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
