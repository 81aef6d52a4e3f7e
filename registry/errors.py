"""Every fault the registry raises, as one tree.

    RegistryError
    ├── NotFound             the thing named does not exist
    ├── Gone                 what was kept is kept no longer
    ├── Conflict             the request contradicts what is stored
    ├── NotAllowed           somebody else would have to do it
    ├── Rejected             a file or description may not become a version
    ├── Damaged              stored bytes are not the bytes that were stored
    ├── NotPublished         no checkpoint covers it yet
    ├── LogKeyMissing        the log cannot be signed
    ├── StoreUnavailable     the store or the disk cannot answer now
    └── JournalBroken        the journal can no longer say what is on disk

An error is complete when raised: it has a slug for machines, typed fields, and a sentence that says
what happened, with which thing, and what to do. No transport's status codes appear here.
"""

from datetime import datetime

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


class RolloutNotFound(NotFound):
    def __init__(self, rollout_id: str) -> None:
        self.rollout_id = rollout_id
        super().__init__(f"There is no rollout {clip(rollout_id)!r}.")


class PromotionNotFound(NotFound):
    def __init__(self, promotion_id: str) -> None:
        self.promotion_id = promotion_id
        super().__init__(f"There is no request {clip(promotion_id)!r} to promote a version.")


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

    def __init__(self, model: str, version: int, lacking: list[str]) -> None:
        self.model, self.version, self.lacking = model, version, lacking
        super().__init__(
            f"Version {version} of {model!r} is not promoted, since this is asked and not there:"
            f" {_list(lacking)}. Supply it, or promote by force where you may."
        )


class ApprovalNeeded(Conflict):
    slug = "approval-needed"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(
            f"Nobody promotes version {version} of {model!r} alone: ask for it, and let somebody"
            " else approve."
        )


class PromotionPending(Conflict):
    slug = "promotion-pending"

    def __init__(self, model: str, version: int, promotion_id: str) -> None:
        self.model, self.version, self.promotion_id = model, version, promotion_id
        super().__init__(
            f"To promote version {version} of {model!r} is asked for already: {promotion_id} waits"
            " for somebody else's approval."
        )


class PromotionDecided(Conflict):
    slug = "promotion-decided"

    def __init__(self, promotion_id: str, state: str) -> None:
        self.promotion_id, self.state = promotion_id, state
        super().__init__(f"The request {promotion_id!r} is {state} already.")


class PromotionExpired(Conflict):
    slug = "promotion-expired"

    def __init__(self, promotion_id: str, expired: datetime) -> None:
        self.promotion_id, self.expired = promotion_id, expired
        super().__init__(
            f"The request {promotion_id!r} could be decided until {expired:%Y-%m-%d %H:%M} UTC;"
            " ask anew."
        )


class PromotionStale(Conflict):
    slug = "promotion-stale"

    def __init__(self, promotion_id: str, changes: list[str]) -> None:
        self.promotion_id, self.changes = promotion_id, changes
        super().__init__(
            f"The request {promotion_id!r} is not what it was when it was made:"
            f" {_list(changes)}. Ask anew, so that what is approved is what is there."
        )


class StateChanged(Conflict):
    slug = "state-changed"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Model {model!r} is not in the state that `If-Match` names; look at it again."
        )


class FindingNotOpen(Conflict):
    slug = "finding-not-open"

    def __init__(self, finding_id: str) -> None:
        self.finding_id = finding_id
        super().__init__(f"Finding {finding_id!r} has ended already.")


class NoChampion(Conflict):
    slug = "no-champion"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Model {model!r} has no champion that a challenger could be compared with; promote a"
            " version first."
        )


class SignatureDiffers(Conflict):
    slug = "signature-differs"

    def __init__(self, model: str, challenger: int, champion: int, what: str) -> None:
        self.model, self.challenger, self.champion, self.what = model, challenger, champion, what
        super().__init__(
            f"Version {challenger} of {model!r} cannot answer in place of champion {champion}:"
            f" {what}."
        )


class SharesExceeded(Conflict):
    slug = "shares-exceeded"

    def __init__(self, model: str, wanted: int, free: int) -> None:
        self.model, self.wanted, self.free = model, wanted, free
        super().__init__(
            f"The challengers of {model!r} would answer 100 % of the callers or more, and leave the"
            f" champion none to be compared by: {wanted:,} points of 10,000 are asked for, and at"
            f" most {free:,} together are free."
        )


class VersionInRollout(Conflict):
    slug = "version-in-rollout"

    def __init__(self, model: str, version: int, rollout_id: str) -> None:
        self.model, self.version, self.rollout_id = model, version, rollout_id
        super().__init__(
            f"Version {version} of {model!r} is the challenger of the open rollout {rollout_id};"
            " abort that first."
        )


class LatencyUnmeasured(Conflict):
    slug = "latency-unmeasured"

    def __init__(self, model: str, version: int, quantile: float) -> None:
        self.model, self.version, self.quantile = model, version, quantile
        super().__init__(
            f"Quantile {quantile:g} of the latency of champion {version} of {model!r} is not known:"
            " too few of its requests were measured since the gateway started, or it is beyond 10"
            " s. Start once there was more traffic, or say as `edge_ms` of the guard how many"
            " milliseconds are too slow."
        )


class RolloutOver(Conflict):
    slug = "rollout-over"

    def __init__(self, rollout_id: str, phase: str) -> None:
        self.rollout_id, self.phase = rollout_id, phase
        super().__init__(f"Rollout {rollout_id} is over already: it is {phase}.")


class RolloutNotReady(Conflict):
    slug = "rollout-not-ready"

    def __init__(self, rollout_id: str, fault: str) -> None:
        self.rollout_id, self.fault = rollout_id, fault
        super().__init__(f"Rollout {rollout_id} stays as it is: {fault}.")


class UnderHold(Conflict):
    slug = "under-hold"

    def __init__(self, models: list[str]) -> None:
        self.models = models
        names = ", ".join(repr(clip(model)) for model in models)
        super().__init__(f"Nothing of {names} may go while it is under legal hold.")


class NotAllowed(RegistryError):
    """Somebody else would have to do it; nothing was changed."""

    slug = "not-allowed"


class SelfApproval(NotAllowed):
    slug = "self-approval"

    def __init__(self, promotion_id: str) -> None:
        self.promotion_id = promotion_id
        super().__init__(
            f"The request {promotion_id!r} is yours: another person has to approve it."
        )


class ForceNotAllowed(NotAllowed):
    slug = "force-not-allowed"

    def __init__(self, model: str, role: str) -> None:
        self.model, self.role = model, role
        super().__init__(
            f"By its policy, {role} may promote a version of {model!r} by force; this key may not."
        )


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


class PlanRejected(Rejected):
    """A plan of a rollout that cannot be followed: the way to the member to blame, and why.

    `place` has names of members and numbers of elements from 0, as in `("guards", 0, "margin")`.
    """

    slug = "plan-rejected"

    def __init__(self, place: tuple[str | int, ...], fault: str) -> None:
        self.place, self.fault = place, fault
        super().__init__("plan", f"{_part_of_plan(place)}: {fault}.")


def _part_of_plan(place: tuple[str | int, ...]) -> str:
    match place:
        case ("guards", int(number), *_):
            return f"Guard {number + 1} of the plan"
        case ("steps", int(number), *_):
            return f"Step {number + 1} of the plan"
        case ("shadow", *_):
            return "The shadow of the plan"
    return "The plan"


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


def _list(items: list[str]) -> str:
    """Name the first few of a list in a sentence, and how many more there are."""
    more = len(items) - _MOST_NAMED
    return "; ".join(items[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
