"""Tells when the rules of a version that reject are suspended, and when they reject again.

Workers decide that, each by its own requests, and people must know: a wrong rule may be the cause,
or a caller who sends rubbish.
"""

from collections.abc import Mapping

from msgspec import Struct

from registry.announcing import announce, contract_resumed, contract_suspended
from registry.recording import Author, append_record
from registry.registry import Clock, Registry
from registry.times import now

Name = tuple[str, int]  # a model and the number of its version


class Share(Struct, frozen=True):
    """Of how many requests of the last minutes how many the rules would refuse."""

    refused: int
    requests: int


class Suspensions:
    """Records and announces each suspension once, and its end.

    What is known is kept in memory: a new controller tells it anew.
    """

    def __init__(self, registry: Registry, author: Author, clock: Clock = now) -> None:
        self._registry = registry
        self._author = author
        self._clock = clock
        self._told: set[Name] = set()

    def look(self, suspended: Mapping[Name, Share]) -> None:
        """Tell what is new in what workers suspend between them. Raises RegistryError."""
        for name in sorted(suspended.keys() - self._told):
            share = suspended[name]
            self._begin(name, f"{share.refused} of {share.requests} requests would be refused")
            self._told.add(name)
        for name in sorted(self._told - suspended.keys()):
            self._end(name)
            self._told.remove(name)

    def _begin(self, name: Name, reason: str) -> None:
        with self._registry.store.write() as tx:
            record = append_record(
                tx, "contract.suspend", self._author, self._clock(),
                version=tx.version(*name), reason=reason,
            )  # fmt: skip
            announce(tx, contract_suspended(tx, record))

    def _end(self, name: Name) -> None:
        with self._registry.store.write() as tx:
            record = append_record(
                tx, "contract.resume", self._author, self._clock(), version=tx.version(*name)
            )
            announce(tx, contract_resumed(record))
