"""The root of the tree and the kinds of faults, which know no particular thing."""


class RegistryError(Exception):
    """Root of all faults of this package; `slug` names the kind for machines."""

    slug = "registry-error"


class NotFound(RegistryError):
    """The thing named does not exist."""

    slug = "not-found"


class Gone(RegistryError):
    """What was kept is kept no longer, and cannot be had again."""

    slug = "gone"


class Conflict(RegistryError):
    """The request contradicts what is stored; nothing was changed."""

    slug = "conflict"


class NotAllowed(RegistryError):
    """Somebody else would have to do it; nothing was changed."""

    slug = "not-allowed"


class Rejected(RegistryError):
    """A file or description may not become a version; `check` names the check that failed."""

    slug = "rejected"

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class InvalidRequest(RegistryError):
    """A value given to a verb cannot be accepted, whatever is stored; `field` names it."""

    slug = "invalid-request"

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class Damaged(RegistryError):
    """Stored bytes are not the bytes that were stored."""

    slug = "damaged"


class StoreUnavailable(RegistryError):
    """The store or the disk cannot answer now; nothing was changed, try again."""

    slug = "store-unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The store cannot answer now: {reason}.")


class StoreIncompatible(RegistryError):
    """The store or its library has a version that must not be used."""

    slug = "store-incompatible"


def clip(text: str, limit: int = 64) -> str:
    """Shorten text that a caller chose, so that no answer echoes more than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
