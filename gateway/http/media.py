"""Which types of a body inference reads; the body's own form decides how it is read."""

# The last is what curl and browsers call a body when they are told nothing.
_READ = frozenset(
    {
        "",
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    }
)


def is_readable(content_type: str) -> bool:
    """Say whether a body of this type is looked at; many clients name none.

    >>> is_readable("Application/JSON; charset=utf-8"), is_readable("text/xml")
    (True, False)
    """
    return content_type in _READ or content_type.partition(";")[0].strip().lower() in _READ
