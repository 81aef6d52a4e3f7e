"""The store in one SQLite file.

Write-ahead log with `synchronous=FULL`: what `write` returned from survives a power failure. Each
thread gets a connection of its own; writers take turns through SQLite's lock.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

import apsw

from registry.answers import Answer, Claim
from registry.entry import Entry, encode_record
from registry.errors import Conflict, StoreUnavailable
from registry.events import Delivery, Destination, Event
from registry.findings import Finding
from registry.labels import Batch, Label
from registry.promotions import Promotion
from registry.records import AuditRecord, Origin, SignedCheckpoint
from registry.rollouts import Rollout, RolloutChange
from registry.stores import (
    answers,
    findings,
    labels,
    log,
    outbox,
    payloads,
    promotions,
    records,
    rollouts,
    rows,
    windows,
)
from registry.stores.connection import (
    BUSY_TIMEOUT_MS,
    check_library,
    connect,
    immediately,
    prepare,
    translated,
)
from registry.stores.payloads import Subject
from registry.stores.reader import ALIAS_CHANGE, SqliteReader
from registry.times import to_us
from registry.vault import Vault
from registry.versions import AliasChange, Version, VersionState
from registry.windows import DetectorState, WorkerCounts
from registry.workers import Key, Setting, SettingName, WorkerStatus

_REACHED = "SELECT reached FROM position WHERE segment = ?"
_ADD_ROLLOUT_CHANGE = "INSERT INTO rollout_change (rollout, content) VALUES (?, ?)"


class SqliteTransaction(SqliteReader):
    """Changes over one connection that holds SQLite's write lock."""

    def __init__(self, connection: apsw.Connection, vault: Vault) -> None:
        super().__init__(connection, vault)
        self._changed = False  # what workers obey
        self._needs_record = False
        self._recorded = False

    def add_version(self, version: Version) -> None:
        self._change("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?)", rows.version_row(version))

    def set_state(self, model: str, number: int, state: VersionState) -> None:
        query = "UPDATE version SET state = ? WHERE model = ? AND number = ?"
        self._change(query, (state.value, model, number))

    def add_alias_change(self, change: AliasChange) -> None:
        query = f"INSERT INTO alias_change ({ALIAS_CHANGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant
        self._change(query, rows.alias_change_row(change))

    def add_key(self, key: Key) -> None:
        self._change("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.key_row(key))

    def revoke_key(self, key_id: str, at: datetime) -> None:
        self._change("UPDATE key SET revoked = ? WHERE id = ?", (to_us(at), key_id))

    def put_setting(self, setting: Setting) -> None:
        self._change("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", rows.setting_row(setting))

    def remove_setting(self, name: SettingName, model: str | None) -> None:
        query = "DELETE FROM setting WHERE name = ? AND model = ?"
        self._change(query, (name.value, model or rows.ALL_MODELS))

    def append(self, record: AuditRecord) -> None:
        leaf = encode_record(record)
        with translated():
            records.add_records(self._own, log.extend(self._rows, [leaf]), [leaf], {})
        self._recorded = True

    def find_subject(self, subject: str) -> Subject | None:
        with translated():
            return payloads.find_subject(self._connection, self._vault, subject)

    def erase(self, subject: Subject) -> int:
        self._needs_record = True
        with translated():
            return payloads.erase(self._connection, subject)

    def expire(self, indexes: Sequence[int]) -> None:
        self._needs_record = True
        with translated():
            payloads.expire(self._connection, indexes)

    def remove(self, indexes: Sequence[int]) -> None:
        self._needs_record = True
        with translated():
            payloads.remove(self._connection, indexes)

    def add_checkpoint(self, signed: SignedCheckpoint) -> None:
        log.add_checkpoint(self._rows, signed)

    def amend_checkpoint(self, size: int, note: str) -> None:
        log.amend_checkpoint(self._rows, size, note)

    def add_origin(self, origin: Origin) -> None:
        log.add_origin(self._rows, origin)

    def add_finding(self, finding: Finding) -> None:
        self._needs_record = True
        findings.add(self._rows, finding)

    def change_finding(self, finding: Finding) -> None:
        self._needs_record = True
        findings.change(self._rows, finding)

    def add_labels(self, batch: Batch, kept: Sequence[Label]) -> None:
        self._needs_record = True
        labels.add(self._rows, batch, kept)

    def add_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        row = rollouts.rollout_row(rollout)
        self._change("INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?)", row)
        self._change(_ADD_ROLLOUT_CHANGE, rollouts.change_row(change))

    def change_rollout(self, rollout: Rollout, change: RolloutChange) -> None:
        rollout_id, *_, is_open, content = rollouts.rollout_row(rollout)
        query = "UPDATE rollout SET is_open = ?, content = ? WHERE id = ?"
        self._change(query, (is_open, content, rollout_id))
        self._change(_ADD_ROLLOUT_CHANGE, rollouts.change_row(change))

    def add_promotion(self, promotion: Promotion) -> None:
        self._needs_record = True
        promotions.add(self._rows, promotion)

    def change_promotion(self, promotion: Promotion) -> None:
        self._needs_record = True
        promotions.change(self._rows, promotion)

    def keep_detector(self, model: str, version: int, kept: DetectorState) -> None:
        windows.keep_detector(self._rows, model, version, kept)

    def drop_detector(self, model: str, version: int) -> None:
        windows.drop_detector(self._rows, model, version)

    def drop_blocks(self, model: str, version: int) -> None:
        windows.drop_blocks(self._rows, model, version)

    def add_destination(self, destination: Destination) -> None:
        self._needs_record = True
        outbox.add_destination(self._rows, destination)

    def remove_destination(self, name: str) -> None:
        self._needs_record = True
        outbox.remove_destination(self._rows, name)

    def pause_destination(self, name: str, at: datetime) -> None:
        self._needs_record = True
        outbox.pause_destination(self._rows, name, at)

    def resume_destination(self, name: str, at: datetime) -> None:
        self._needs_record = True
        outbox.resume_destination(self._rows, name, at)

    def add_event(self, event: Event, told: Sequence[str]) -> None:
        self._needs_record = True
        outbox.add_event(self._rows, event, told)

    def send_again(self, number: int, at: datetime) -> None:
        self._needs_record = True
        outbox.send_again(self._rows, number, at)

    def finish(self) -> None:
        """Move the generation if anything changed; a change without its record is refused."""
        if self._needs_record and not self._recorded:
            raise RuntimeError("A transaction changed the registry without an audit record.")
        if self._changed:
            self._rows("UPDATE generation SET number = number + 1")

    def _change(self, query: str, values: Sequence[Any]) -> None:
        self._rows(query, values)
        self._changed = self._needs_record = True


class SqliteStore(SqliteReader):
    """A `registry.store.Store` in the file at `path`, made where there is none."""

    def __init__(self, path: Path, vault: Vault) -> None:
        check_library(apsw.sqlite_lib_version())
        self.vault = self._vault = vault
        self._path = path
        self._local = threading.local()
        # One for each thread, which goes with it.
        self._opened: WeakSet[apsw.Connection] = WeakSet()
        self._streams: records.Streams = {}
        self._lock = threading.Lock()
        with translated():
            prepare(self._connection, self._path)

    @property
    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self._path)
            self._local.connection = connection
            with self._lock:
                self._opened.add(connection)
        return connection

    @contextmanager
    def snapshot(self) -> Iterator[SqliteReader]:
        connection = self._connection
        with translated():
            connection.execute("BEGIN")
            try:
                yield SqliteReader(connection, self._vault)
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        connection = self._connection
        with translated(), immediately(connection):
            transaction = SqliteTransaction(connection, self._vault)
            yield transaction
            transaction.finish()

    def integrate(self, segment: str, start: int, end: int, entries: Sequence[Entry]) -> None:
        connection = self._connection
        with translated(), immediately(connection):
            # Read to the end: a statement that is open at the commit keeps SQLite from moving its
            # log into the database, and the log grows for ever.
            found = connection.execute(_REACHED, (segment,)).fetchall()
            (reached,) = found[0] if found else (0,)
            if reached != start:
                raise Conflict(f"Segment {segment} is integrated up to {reached}, not {start}.")
            leaves = [entry.leaf for entry in entries]
            first = log.extend(self._rows, leaves)
            streams = dict(self._streams)
            records.add_records(connection, first, leaves, streams)
            payloads.add(connection, self._vault, enumerate(entries, first))
            connection.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (segment, end))
        self._streams = streams

    def forget_segment(self, segment: str) -> None:
        self._rows("DELETE FROM position WHERE segment = ?", (segment,))

    def scrub(self) -> bool:
        connection = self._connection
        connection.set_busy_timeout(0)  # whoever reads is not waited for
        try:
            [(is_busy, _, _)] = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        except StoreUnavailable:
            return False
        finally:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        return not is_busy

    def take(self, workers: Sequence[WorkerCounts]) -> None:
        with translated(), immediately(self._connection):
            windows.take(self._rows, workers)

    def forget_taken(self, worker: str) -> None:
        windows.forget(self._rows, worker)

    def expire_windows(self, at: datetime, limit: int) -> int:
        with translated(), immediately(self._connection):
            return windows.expire(self._rows, at, limit)

    def claim(self, claimed: Claim, at: datetime, oldest: datetime) -> Claim | None:
        with translated(), immediately(self._connection):
            return answers.claim(self._rows, claimed, at, oldest)

    def keep_answer(self, claimed: Claim, answer: Answer) -> None:
        answers.keep(self._rows, claimed, answer)

    def release(self, claimed: Claim) -> None:
        answers.release(self._rows, claimed)

    def settle(self, delivery: Delivery) -> None:
        outbox.settle(self._rows, delivery)

    def hasten(self, destination: str, at: datetime) -> None:
        outbox.hasten(self._rows, destination, at)

    def forget_delivered(self, before: datetime) -> None:
        with self.write() as tx:
            outbox.forget_delivered(tx._rows, before)

    def report_worker(self, status: WorkerStatus) -> None:
        self._rows("INSERT OR REPLACE INTO worker VALUES (?, ?, ?, ?)", rows.worker_row(status))

    def forget_worker(self, pid: int) -> None:
        self._rows("DELETE FROM worker WHERE pid = ?", (pid,))

    def clear_workers(self) -> None:
        self._rows("DELETE FROM worker")

    def close(self) -> None:
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
