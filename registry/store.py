"""The contract of a store: few verbs, each with its guarantee, and `open_store` to get one.

Whoever implements it passes `tests/contracts`. Every verb raises StoreUnavailable where the
database cannot answer, and InvalidRequest for a number beyond 64 bits or a text that is no Unicode;
nothing was changed then.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from registry.answers import Answer, Claim
from registry.entry import Entry
from registry.errors import StoreUnavailable
from registry.events import Delivery, Destination, Event
from registry.findings import Finding
from registry.labels import Batch, Label
from registry.promotions import Promotion
from registry.reader import Reader
from registry.records import AuditRecord, Origin, SignedCheckpoint
from registry.rollouts import Rollout, RolloutChange
from registry.stores.payloads import Subject
from registry.stores.sqlite import SqliteStore
from registry.vault import FILE_NAME, Vault
from registry.versions import AliasChange, Version, VersionState
from registry.windows import DetectorState, WorkerCounts
from registry.workers import Key, Setting, SettingName, WorkerStatus


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
        """Destroy the key, the payloads and the labels of a person; return how many payloads."""
        ...

    def expire(self, indexes: Sequence[int]) -> None:
        """Destroy payloads and their labels, and the keys of persons who have no other payload."""
        ...

    def remove(self, indexes: Sequence[int]) -> None:
        """Remove records, their payloads and labels; their places in the tree stay."""
        ...

    def add_finding(self, finding: Finding) -> None: ...

    def change_finding(self, finding: Finding) -> None:
        """Let a finding be another from now on; nothing happens where it was never added."""
        ...

    def add_labels(self, batch: Batch, kept: Sequence[Label]) -> None:
        """Keep a batch, and the labels that it brought, behind all that came before."""
        ...

    def add_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        """Keep a new rollout, and the beginning of its history.

        Raises Conflict where the challenger is no version, or that of another open rollout.
        """
        ...

    def change_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        """Let a rollout be another from now on, and add to its history.

        Raises Conflict where it was never added.
        """
        ...

    def add_promotion(self, promotion: Promotion) -> None:
        """Keep a new request to promote a version."""
        ...

    def change_promotion(self, promotion: Promotion) -> None:
        """Let a request be another from now on; nothing happens where it was never added."""
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

    def claim(self, claimed: Claim, at: datetime, oldest: datetime) -> Claim | None:
        """Let a caller's key stand for a request from now on, or return what it stands for already.

        Of several callers at once one alone is returned None. What began before `oldest` is
        forgotten.
        """
        ...

    def keep_answer(self, claimed: Claim, answer: Answer) -> None:
        """Keep what the request of a claim was answered with."""
        ...

    def release(self, claimed: Claim) -> None:
        """Let the key of a claim stand for nothing any more."""
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
