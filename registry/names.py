"""What texts a caller may choose: names of models, aliases and destinations, reasons, labels."""

import re

from registry.errors import InvalidRequest
from registry.versions import CHAMPION

MAX_REASON = 1000
MAX_LABEL = 200
MAX_SUBJECT = 256
MAX_ROUTING_KEY = 256

# A name that is also a safe path segment, file name and label.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,127}")
# These would collide with routes of the protocol.
_RESERVED_MODEL_NAMES = frozenset({"stats"})
_NAME_RULE = "begins with a letter or digit and has up to 128 letters, digits, '-', '_' and '.'."


def check_model_name(model: str) -> None:
    """Accept a name for a new model. Raises InvalidRequest."""
    if not _NAME.fullmatch(model):
        raise InvalidRequest("model", f"A model's name {_NAME_RULE}")
    if model in _RESERVED_MODEL_NAMES:
        raise InvalidRequest("model", f"The name {model!r} is reserved by the protocol.")


def check_alias_name(alias: str) -> None:
    """Accept a name for an alias of the user's own. Raises InvalidRequest."""
    refuse_champion(alias)
    if not _NAME.fullmatch(alias):
        raise InvalidRequest("alias", f"An alias {_NAME_RULE}")


def check_destination_name(name: str) -> None:
    """Accept a name for whom to tell. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("name", f"A destination's name {_NAME_RULE}")


def refuse_champion(alias: str) -> None:
    """Keep the champion's alias out of all but promotion and rollback. Raises InvalidRequest."""
    if alias == CHAMPION:
        raise InvalidRequest("alias", "The champion moves by promotion and rollback alone.")


def is_subject(text: str) -> bool:
    """Say whether a text may name the person whom a request is about."""
    return 0 < len(text) <= MAX_SUBJECT and is_unicode(text)


def is_routing_key(text: str) -> bool:
    """Say whether a text may be what a request is sent to champion or challenger by."""
    return 0 < len(text) <= MAX_ROUTING_KEY and is_unicode(text)


def check_reason(reason: str) -> None:
    """Accept a reason that says something and can be recorded. Raises InvalidRequest."""
    if not reason.strip() or len(reason) > MAX_REASON or not is_unicode(reason):
        raise InvalidRequest(
            "reason", f"A reason of 1 to {MAX_REASON:,} characters is needed, not blank."
        )


def check_label(field: str, label: str) -> None:
    """Accept a text that only describes, and may be empty. Raises InvalidRequest."""
    if len(label) > MAX_LABEL or not is_unicode(label):
        raise InvalidRequest(field, f"The {field} may have up to {MAX_LABEL} characters.")


def is_unicode(text: str) -> bool:
    """Say whether a text can be written as UTF-8; what a terminal passed on may not be.

    >>> is_unicode("caf\\udce9")
    False
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
