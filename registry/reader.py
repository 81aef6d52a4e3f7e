"""What can be asked of a store: the half of its contract that changes nothing.

Whoever implements it passes `tests/contracts`. Every verb raises StoreUnavailable where the
database cannot answer, and InvalidRequest for a number beyond 64 bits or a text that is no Unicode.
"""

from datetime import datetime
from typing import Protocol

from registry.entry import Payload
from registry.events import Delivery, DeliveryCount, DeliveryState, Destination
from registry.findings import Finding
from registry.labels import AnswerCount, AnswerKept, Batch, KeptLabel, Label
from registry.promotions import Promotion
from registry.records import Origin, RecordFilter, SignedCheckpoint, Tally
from registry.rollouts import Rollout, RolloutChange
from registry.stores.payloads import Aged
from registry.versions import AliasChange, Version
from registry.windows import Block, DetectorState, Span, Window
from registry.workers import Key, Setting, WorkerStatus


class Reader(Protocol):
    """What can be asked of a store, and inside one of its transactions."""

    def generation(self) -> int:
        """Return a number that grows with every change of what workers obey.

        That is versions, aliases, keys, settings and rollouts.
        """
        ...

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        ...

    def versions(self, model: str) -> list[Version]:
        """Return the versions of a model by number; none where there is no such model."""
        ...

    def version(self, model: str, number: int) -> Version | None:
        """Return one version, or None."""
        ...

    def alias_changes(self, model: str) -> list[AliasChange]:
        """Return the whole history of a model's aliases, oldest first."""
        ...

    def aliases(self, model: str) -> dict[str, int]:
        """Return what each alias of a model names now."""
        ...

    def api_keys(self) -> list[Key]:
        """Return all keys, revoked ones included, oldest first."""
        ...

    def settings(self) -> list[Setting]:
        """Return all settings, by name and model."""
        ...

    def records(
        self, wanted: RecordFilter, *, before: str | None, limit: int
    ) -> list[tuple[int, bytes]]:
        """Return (index, leaf) of integrated records, newest id first, with ids below `before`."""
        ...

    def record(self, record_id: str) -> tuple[int, bytes] | None:
        """Return (index, leaf) of one integrated record, or None."""
        ...

    def payload(self, record_id: str) -> Payload | None:
        """Return the payload of one integrated record, unsealed, or None if none was ever kept.

        Raises PayloadErased, PayloadExpired, and PayloadKeyMissing for what cannot be unsealed.
        """
        ...

    def streams(self, model: str) -> list[int]:
        """Return the numbers of the streams that the inferences of a model are in."""
        ...

    def aged(self, stream: int, *, after: bytes, before: datetime, limit: int) -> list[Aged]:
        """Return the oldest records of a stream that are of a time before `before`.

        In the order of their ids, those above `after`, at most `limit`.
        """
        ...

    def tallies(
        self, *, since: datetime, until: datetime, hours: int, model: str | None
    ) -> list[Tally]:
        """Count the integrated records of a time, or those of one model, by periods of `hours`.

        Periods begin at multiples of so many hours since 1970, UTC; those that `since` and `until`
        lie in are counted whole.
        """
        ...

    def positions(self) -> dict[str, int]:
        """Return how far each journal segment has been integrated."""
        ...

    def tree_size(self) -> int:
        """Return how many leaves the log's tree has: all records that ever got an index."""
        ...

    def tile(self, level: int, number: int) -> bytes:
        """Return the hashes that a tile of the tree has so far; none where it has not begun."""
        ...

    def leaves(self, start: int, end: int) -> list[bytes]:
        """Return the leaves from index `start` up to `end`, as far as they are there."""
        ...

    def checkpoint(self) -> SignedCheckpoint | None:
        """Return the checkpoint that was signed last, or None."""
        ...

    def checkpoints(self) -> list[SignedCheckpoint]:
        """Return the checkpoints that are kept, oldest first."""
        ...

    def origins(self) -> list[Origin]:
        """Return the names and keys that the log has had, oldest first."""
        ...

    def destinations(self) -> list[Destination]:
        """Return all destinations, by name."""
        ...

    def deliveries(
        self, state: DeliveryState | None, *, before: int | None, limit: int
    ) -> list[Delivery]:
        """Return deliveries in a state, or all, newest first, with numbers below `before`."""
        ...

    def delivery(self, number: int) -> Delivery | None:
        """Return one delivery, or None."""
        ...

    def next_delivery(self, destination: str, at: datetime) -> Delivery | None:
        """Return the oldest delivery to a destination that is due; None while it is paused."""
        ...

    def waiting_destinations(self, at: datetime) -> list[str]:
        """Name the destinations that are not paused and have something due."""
        ...

    def delivery_counts(self) -> list[DeliveryCount]:
        """Count deliveries by destination and state, as far as there are any."""
        ...

    def workers(self) -> list[WorkerStatus]:
        """Return what each running worker last said of itself."""
        ...

    def windows(
        self, model: str, version: int, lane: str, span: Span, *, since: datetime, until: datetime
    ) -> list[Window]:
        """Return what was counted of a version in a lane, in the windows that began in a time.

        Oldest first, from `since` on and before `until`; windows in which nothing came are none.
        """
        ...

    def taken(self) -> list[str]:
        """Return the ids of the workers whose counts `take` remembers."""
        ...

    def judged(self) -> list[tuple[str, int]]:
        """Return the models and versions of which blocks or a detector are kept."""
        ...

    def blocks(self, model: str, version: int) -> list[Block]:
        """Return what came of a champion since its blocks were dropped, oldest first.

        Each has what one `take` brought; where there are more than 128, neighbours are added up.
        """
        ...

    def detector(self, model: str, version: int) -> DetectorState | None:
        """Return what was last kept of a detector, or None."""
        ...

    def findings(self, model: str, *, only_open: bool = False) -> list[Finding]:
        """Return the findings of a model, or those that are open, newest first."""
        ...

    def models_with_findings(self) -> list[str]:
        """Return the models that have open findings."""
        ...

    def label(self, model: str, record_id: str, row: int) -> Label | None:
        """Return the label of a row that counts, which is the last one, or None."""
        ...

    def labels(
        self, model: str, *, since: datetime, until: datetime, limit: int
    ) -> list[KeptLabel]:
        """Return the label that counts of each row answered in a time, in the order of record ids.

        Times are met to the millisecond.
        """
        ...

    def label_history(self, model: str, record_id: str) -> list[KeptLabel]:
        """Return every label that came of a record, by row, the oldest of each first."""
        ...

    def label_batches(self, model: str, *, since: datetime, until: datetime) -> list[Batch]:
        """Return the batches of labels that came of a model in a time, oldest first."""
        ...

    def answer(self, record_id: str) -> AnswerKept | None:
        """Return what is there of an integrated record that labels may be of, or None."""
        ...

    def answer_counts(self, model: str, *, since: datetime, until: datetime) -> list[AnswerCount]:
        """Count the integrated answers of a time, to the millisecond, by version and lane."""
        ...

    def rollouts(self, model: str | None = None) -> list[Rollout]:
        """Return the rollouts of a model, or all, newest first."""
        ...

    def open_rollouts(self) -> list[Rollout]:
        """Return the rollouts that are not over, by model, oldest first."""
        ...

    def rollout(self, rollout_id: str) -> Rollout | None:
        """Return one rollout, or None."""
        ...

    def rollout_changes(self, rollout_id: str) -> list[RolloutChange]:
        """Return the history of a rollout, oldest first; none where there is no such rollout."""
        ...

    def promotion(self, promotion_id: str) -> Promotion | None:
        """Return one request to promote a version, or None."""
        ...

    def promotions(
        self, model: str | None = None, *, only_pending: bool = False
    ) -> list[Promotion]:
        """Return the requests to promote versions of a model, or of all, newest first.

        Those that wait to be decided alone, where only they are wanted.
        """
        ...
