"""Faults with records, their payloads and the log, down to the journal."""

from registry.errors.kinds import (
    Conflict,
    Damaged,
    Gone,
    NotFound,
    RegistryError,
    StoreUnavailable,
    clip,
)


class RecordNotFound(NotFound):
    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(f"There is no record {clip(record_id)!r}.")


class PayloadNotFound(NotFound):
    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(f"Record {clip(record_id)!r} has no payload.")


class SubjectNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("Nothing is kept of this person.")


class TileNotFound(NotFound):
    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"The log has no {clip(path)}.")


class PayloadErased(Gone):
    slug = "payload-erased"

    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(f"The payload of record {clip(record_id)!r} was erased with its person.")


class PayloadExpired(Gone):
    slug = "payload-expired"

    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(
            f"The payload of record {clip(record_id)!r} was kept for as long as it had to be."
        )


class NotPublished(RegistryError):
    """What is asked for is on disk, or will be, and under no published checkpoint yet."""

    slug = "not-yet-published"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"No published checkpoint covers {what} yet; ask again in a second.")


class LogKeyMissing(RegistryError):
    slug = "log-key-missing"

    def __init__(self, vkey: str, path: str) -> None:
        self.vkey, self.path = vkey, path
        super().__init__(
            f"{path} does not hold the private key of {vkey}. Bring it back; if it is lost, let the"
            " log go on under another name: gateway audit rotate-key --lost."
        )


class UnderHold(Conflict):
    slug = "under-hold"

    def __init__(self, models: list[str]) -> None:
        self.models = models
        names = ", ".join(repr(clip(model)) for model in models)
        super().__init__(f"Nothing of {names} may go while it is under legal hold.")


class PayloadDamaged(Damaged):
    def __init__(self) -> None:
        super().__init__("A sealed payload, or the key of its person, is not what was stored.")


class JournalUnavailable(StoreUnavailable):
    """The disk refused these records; none of them is in the journal, later ones may be taken."""

    slug = "journal-unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (f"The journal takes no records now: {reason}.",)


class PayloadKeyMissing(StoreUnavailable):
    slug = "payload-key-missing"

    def __init__(self) -> None:
        super().__init__("the key that its sealed payloads need is missing, or is another")


class JournalBroken(RegistryError):
    """A sync failed, so nobody knows what is on disk: the process must end and never sync again."""

    slug = "journal-broken"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The journal is broken and this process must be restarted: {reason}.")
