"""Faults with promotions, and with requests for them."""

from datetime import datetime

from registry.errors.kinds import Conflict, NotAllowed, NotFound, clip

_MOST_NAMED = 5  # of a list in a sentence


class PromotionNotFound(NotFound):
    def __init__(self, promotion_id: str) -> None:
        self.promotion_id = promotion_id
        super().__init__(f"There is no request {clip(promotion_id)!r} to promote a version.")


class AlreadyChampion(Conflict):
    slug = "already-champion"

    def __init__(self, model: str, version: int) -> None:
        self.model, self.version = model, version
        super().__init__(f"Version {version} of {model!r} is the champion already.")


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


def _list(items: list[str]) -> str:
    """Name the first few of a list in a sentence, and how many more there are."""
    more = len(items) - _MOST_NAMED
    return "; ".join(items[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
