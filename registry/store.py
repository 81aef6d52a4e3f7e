"""The contract of a store: few verbs, each with its guarantee, and `open_store` to get one.

Whoever implements it passes `tests/contracts/test_store.py`. Every verb raises StoreUnavailable
where the database cannot answer, and InvalidRequest for a number beyond 64 bits or a text that is
no Unicode; nothing was changed then.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from registry.entry import Entry, Payload
from registry.errors import StoreUnavailable
from registry.events import Delivery, DeliveryCount, DeliveryState, Destination, Event
from registry.findings import Finding
from registry.records import AuditRecord, Origin, RecordFilter, SignedCheckpoint, Tally
from registry.stores.payloads import Aged, Subject
from registry.stores.sqlite import SqliteStore
from registry.vault import FILE_NAME, Vault
from registry.versions import AliasChange, Version, VersionState
from registry.windows import Block, DetectorState, Span, Window, WorkerCounts
from registry.workers import Key, Setting, SettingName, WorkerStatus


class Reader(Protocol):
    """What can be asked of a store, and inside one of its transactions."""

    def generation(self) -> int:
        """Return a number that grows with every change of versions, aliases, keys or settings."""
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


class Transaction(Reader, Protocol):
    """Changes that take effect together, or not at all.

    A transaction that changes anything but the log and detectors without a record is an error: it
    raises RuntimeError when it would be committed, and nothing is changed.
    """

    def add_version(self, version: Version) -> None: ...

    def set_state(self, model: str, number: int, state: VersionState) -> None: ...

    def add_alias_change(self, change: AliasChange) -> None: ...

    def add_key(self, key: Key) -> None: ...

    def revoke_key(self, key_id: str, at: datetime) -> None: ...

    def put_setting(self, setting: Setting) -> None:
        """Set a value, in place of the one before."""
        ...

    def remove_setting(self, name: SettingName, model: str | None) -> None:
        """Let a setting have no value; nothing happens where it has none."""
        ...

    def add_destination(self, destination: Destination) -> None:
        """Keep a new destination. Raises Conflict where there is one of this name."""
        ...

    def remove_destination(self, name: str) -> None:
        """Forget a destination and all that was, or was to be, delivered to it."""
        ...

    def pause_destination(self, name: str, at: datetime) -> None:
        """Let nothing be sent to a destination until it is resumed."""
        ...

    def resume_destination(self, name: str, at: datetime) -> None:
        """Let all that waits for a destination be due at a time, in its order."""
        ...

    def add_event(self, event: Event, told: Sequence[str]) -> None:
        """Keep an event, to be delivered to the destinations that are named."""
        ...

    def send_again(self, number: int, at: datetime) -> None:
        """Let a delivery begin anew at a time, as if it never had been tried."""
        ...

    def append(self, record: AuditRecord) -> None:
        """Give a record the next index of the log, and its leaf that place in the tree."""
        ...

    def add_checkpoint(self, signed: SignedCheckpoint) -> None:
        """Keep a checkpoint. Raises Conflict where it is not that of the tree, or the tree is none
        that the checkpoint before it could have grown into.

        Old ones are thinned: of those before the last hour the last of each hour stays, and the
        first under each name or key.
        """
        ...

    def amend_checkpoint(self, size: int, note: str) -> None:
        """Keep a note with more signatures for the checkpoint of a size."""
        ...

    def add_origin(self, origin: Origin) -> None:
        """Let the log have another name or key from now on."""
        ...

    def find_subject(self, subject: str) -> Subject | None:
        """Find what is kept of a person, or None. Raises PayloadKeyMissing."""
        ...

    def erase(self, subject: Subject) -> int:
        """Destroy the key and the payloads of a person, and return how many payloads."""
        ...

    def expire(self, indexes: Sequence[int]) -> None:
        """Destroy payloads, and the keys of persons of whom nothing else is kept."""
        ...

    def remove(self, indexes: Sequence[int]) -> None:
        """Remove records and their payloads; their places in the tree stay."""
        ...

    def add_finding(self, finding: Finding) -> None: ...

    def change_finding(self, finding: Finding) -> None:
        """Let a finding be another from now on; nothing happens where it was never added."""
        ...

    def keep_detector(self, model: str, version: int, kept: DetectorState) -> None:
        """Keep what a detector knows, in place of what it knew before."""
        ...

    def drop_detector(self, model: str, version: int) -> None: ...

    def drop_blocks(self, model: str, version: int) -> None: ...


class Store(Reader, Protocol):
    """All that must outlive a process. Any thread may use it.

    What is destroyed is overwritten with zeros where it stood, and gone from the whole disk's view
    of the store once `scrub` has said so. `vault` has the key that payloads of persons are sealed
    with.
    """

    vault: Vault

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees, and keeps, the state that no other writer can change."""
        ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """Open a view in which every question is answered from one state."""
        ...

    def integrate(self, segment: str, start: int, end: int, entries: Sequence[Entry]) -> None:
        """Append the entries of a segment's bytes from `start` to `end`, exactly once.

        The tree grows in the same transaction.
        Raises Conflict where the segment was not integrated up to `start` before, and
        PayloadKeyMissing where a payload has to be sealed and cannot be.
        """
        ...

    def scrub(self) -> bool:
        """Leave no older state of the store in any file, and say whether that could be done now."""
        ...

    def forget_segment(self, segment: str) -> None:
        """Drop the position of a segment whose file is gone."""
        ...

    def take(self, workers: Sequence[WorkerCounts]) -> None:
        """Add what workers counted since it was last taken to the windows of its time, once.

        All of it or nothing. What came of a champion is kept as a block, too. Counts of a version
        with another manifest, and counts older than those taken, change nothing.
        """
        ...

    def forget_taken(self, worker: str) -> None:
        """Forget what was taken of a worker whose counts are gone for good."""
        ...

    def expire_windows(self, at: datetime, limit: int) -> int:
        """Remove up to `limit` windows of each span that were kept for long enough; count them."""
        ...

    def settle(self, delivery: Delivery) -> None:
        """Keep what became of an attempt; nothing happens where the delivery is gone."""
        ...

    def hasten(self, destination: str, at: datetime) -> None:
        """Let be due what waits for a destination that had not answered, or only with faults of
        its own (429, 5xx); what it refused waits on.
        """
        ...

    def forget_delivered(self, before: datetime) -> None:
        """Forget what was delivered before a time, and the events that nobody is left to be told
        of.
        """
        ...

    def report_worker(self, status: WorkerStatus) -> None:
        """Keep what a worker says of itself, in place of what it said before."""
        ...

    def forget_worker(self, pid: int) -> None:
        """Forget the worker that ran in a process which has ended."""
        ...

    def clear_workers(self) -> None:
        """Forget all workers, as when the gateway starts."""
        ...

    def close(self) -> None: ...


def open_store(data_dir: Path, payload_key: Path | None = None) -> Store:
    """Open the store under a data directory, making both where there is none.

    The key that seals payloads of persons is in the file `payload_key`, else under the directory
    too; it is made when it is first needed. Raises StoreIncompatible for a database or library
    that must not be used.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return SqliteStore(data_dir / "store.sqlite3", Vault(payload_key or data_dir / FILE_NAME))
    except OSError as error:
        raise StoreUnavailable("its folder cannot be used") from error
