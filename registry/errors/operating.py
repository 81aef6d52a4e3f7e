"""Faults with what operators look after: keys, destinations, findings."""

from registry.errors.kinds import Conflict, NotFound, clip


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


class FindingNotFound(NotFound):
    def __init__(self, finding_id: str) -> None:
        self.finding_id = finding_id
        super().__init__(f"There is no finding {clip(finding_id)!r} of this model.")


class DestinationExists(Conflict):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a destination {name!r} already; remove it first.")


class FindingNotOpen(Conflict):
    slug = "finding-not-open"

    def __init__(self, finding_id: str) -> None:
        self.finding_id = finding_id
        super().__init__(f"Finding {finding_id!r} has ended already.")
