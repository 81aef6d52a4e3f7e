"""Every fault the registry raises, as one tree.

    RegistryError
    ├── NotFound             the thing named does not exist
    ├── Gone                 what was kept is kept no longer
    ├── Conflict             the request contradicts what is stored
    ├── Rejected             a file or description may not become a version
    ├── Damaged              stored bytes are not the bytes that were stored
    ├── NotPublished         no checkpoint covers it yet
    ├── LogKeyMissing        the log cannot be signed
    ├── StoreUnavailable     the store or the disk cannot answer now
    └── JournalBroken        the journal can no longer say what is on disk

An error is complete when raised: it has a slug for machines, typed fields, and a sentence that says
what happened, with which thing, and what to do. No transport's status codes appear here.
"""

_MOST_NAMED = 5  # of a list in a sentence


class RegistryError(Exception):
    """Root of all faults of this package; `slug` names the kind for machines."""

    slug = "registry-error"


class NotFound(RegistryError):
    """The thing named does not exist."""

    slug = "not-found"


class ModelNotFound(NotFound):
    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"There is no model {clip(model)!r}.")


class VersionNotFound(NotFound):
    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Model {model!r} has no version {version}.")


class AliasNotFound(NotFound):
    def __init__(self, model: str, alias: str) -> None:
        self.model, self.alias = model, alias
        super().__init__(f"Model {model!r} has no alias {clip(alias)!r}.")


class KeyNotFound(NotFound):
    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(f"There is no key {clip(key_id)!r}.")


class DestinationNotFound(NotFound):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no destination {clip(name)!r}.")


class DeliveryNotFound(NotFound):
    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"There is no delivery {number}.")


class RecordNotFound(NotFound):
    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(f"There is no record {clip(record_id)!r}.")


class PayloadNotFound(NotFound):
    def __init__(self, record_id: str) -> None:
        self.record_id = record_id
        super().__init__(f"Record {clip(record_id)!r} has no payload.")


class FindingNotFound(NotFound):
    def __init__(self, finding_id: str) -> None:
        self.finding_id = finding_id
        super().__init__(f"There is no finding {clip(finding_id)!r} of this model.")


class SubjectNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("Nothing is kept of this person.")


class TileNotFound(NotFound):
    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"The log has no {clip(path)}.")


class ArtifactNotFound(NotFound):
    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"No artifact {digest} is stored.")


class Gone(RegistryError):
    """What was kept is kept no longer, and cannot be had again."""

    slug = "gone"


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


class Conflict(RegistryError):
    """The request contradicts what is stored; nothing was changed."""

    slug = "conflict"


class VersionInUse(Conflict):
    slug = "version-in-use"

    def __init__(self, model: str, version: int, aliases: list[str]) -> None:
        self.model, self.version, self.aliases = model, version, aliases
        names = ", ".join(aliases)
        super().__init__(
            f"Version {version} of {model!r} is named by the alias {names}; move the alias first."
        )


class VersionRetired(Conflict):
    slug = "version-retired"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model!r} is retired; publish it anew to use it.")


class DestinationExists(Conflict):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a destination {name!r} already; remove it first.")


class AlreadyChampion(Conflict):
    slug = "already-champion"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model!r} is the champion already.")


class NothingToRollBackTo(Conflict):
    slug = "nothing-to-roll-back-to"

    def __init__(self, model: str, version: int | None) -> None:
        self.model, self.version = model, version
        wanted = "an earlier version" if version is None else f"version {version}"
        super().__init__(
            f"Model {model!r} cannot roll back: {wanted} was not champion before the present one."
        )


class PromotionHeld(Conflict):
    slug = "promotion-held"

    def __init__(self, model: str, findings: list[str]) -> None:
        self.model, self.findings = model, findings
        named = "; ".join(findings[:_MOST_NAMED])
        more = len(findings) - _MOST_NAMED
        super().__init__(
            f"No version of {model!r} is promoted while findings of its champion are open: {named}"
            + (f"; and {more} more" if more > 0 else "")
            + ". Close them, or promote by force."
        )


class FindingNotOpen(Conflict):
    slug = "finding-not-open"

    def __init__(self, finding_id: str) -> None:
        self.finding_id = finding_id
        super().__init__(f"Finding {finding_id!r} has ended already.")


class UnderHold(Conflict):
    slug = "under-hold"

    def __init__(self, models: list[str]) -> None:
        self.models = models
        names = ", ".join(repr(clip(model)) for model in models)
        super().__init__(f"Nothing of {names} may go while it is under legal hold.")


class Rejected(RegistryError):
    """A file or description may not become a version; `check` names the check that failed."""

    slug = "rejected"

    def __init__(self, check: str, message: str) -> None:
        self.check = check
        super().__init__(message)


class ContractRejected(Rejected):
    """A rule of a contract that cannot hold: where it stands, and the member to blame, if any.

    `section` is `rules` or `outputs` and `number` counts from 1 there; both say nothing of a member
    of the contract itself.
    """

    def __init__(self, section: str, number: int, fault: str, member: str | None = None) -> None:
        self.section, self.number, self.fault, self.member = section, number, fault, member
        place = {"rules": f"Rule {number} of the contract, ", "": "The contract: "}.get(
            section, f"Rule {number} on the outputs in the contract, "
        )
        super().__init__("contract", f"{place}{fault}.")


class InvalidRequest(RegistryError):
    """A value given to a verb cannot be accepted, whatever is stored; `field` names it."""

    slug = "invalid-request"

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class Damaged(RegistryError):
    """Stored bytes are not the bytes that were stored."""

    slug = "damaged"


class ArtifactDamaged(Damaged):
    def __init__(self, digest: str, found: str) -> None:
        self.digest, self.found = digest, found
        super().__init__(f"Artifact {digest} reads as {found}; restore it from a copy.")


class PayloadDamaged(Damaged):
    def __init__(self) -> None:
        super().__init__("A sealed payload, or the key of its person, is not what was stored.")


class StoreUnavailable(RegistryError):
    """The store or the disk cannot answer now; nothing was changed, try again."""

    slug = "store-unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The store cannot answer now: {reason}.")


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


class StoreIncompatible(RegistryError):
    """The store or its library has a version that must not be used."""

    slug = "store-incompatible"


def clip(text: str, limit: int = 64) -> str:
    """Shorten text that a caller chose, so that no answer echoes more than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
