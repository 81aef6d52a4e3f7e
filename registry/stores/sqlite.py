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

import apsw

from registry.entry import Entry, Payload, encode_record
from registry.errors import Conflict, InvalidRequest, StoreUnavailable
from registry.events import Delivery, DeliveryCount, DeliveryState, Destination, Event
from registry.records import AuditRecord, Origin, RecordFilter, SignedCheckpoint, Tally
from registry.stores import log, outbox, payloads, records, rows, tallies
from registry.stores.connection import (
    BUSY_TIMEOUT_MS,
    check_library,
    connect,
    immediately,
    prepare,
    translated,
)
from registry.stores.payloads import Aged, Subject
from registry.times import to_us
from registry.vault import Vault
from registry.versions import AliasChange, Version, VersionState
from registry.workers import Key, Setting, SettingName, WorkerStatus

_VERSION = "model, number, artifact, manifest, state, author, created"
_ALIAS_CHANGE = "model, alias, version, cause, at, principal, reason, record_id"
_REACHED = "SELECT reached FROM position WHERE segment = ?"
_NOW_NAMED = """
    SELECT alias, version FROM alias_change AS change
    WHERE model = ? AND version IS NOT NULL AND sequence = (
        SELECT max(sequence) FROM alias_change
        WHERE model = change.model AND alias = change.alias
    )
    ORDER BY alias
"""


class SqliteReader:
    """The questions a store answers, asked over one connection."""

    def __init__(self, connection: apsw.Connection, vault: Vault) -> None:
        self._own = connection
        self._vault = vault

    @property
    def _connection(self) -> apsw.Connection:
        return self._own

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[rows.Row]:
        with translated():
            try:
                return self._connection.execute(query, values).fetchall()
            except (OverflowError, UnicodeEncodeError) as error:
                message = "A number is beyond 64 bits, or a text is no Unicode."
                raise InvalidRequest("value", message) from error

    def generation(self) -> int:
        return int(self._rows("SELECT number FROM generation")[0][0])

    def models(self) -> list[str]:
        return [name for (name,) in self._rows("SELECT DISTINCT model FROM version ORDER BY model")]

    def versions(self, model: str) -> list[Version]:
        query = f"SELECT {_VERSION} FROM version WHERE model = ? ORDER BY number"  # noqa: S608 - constant
        return [rows.to_version(row) for row in self._rows(query, (model,))]

    def version(self, model: str, number: int) -> Version | None:
        query = f"SELECT {_VERSION} FROM version WHERE model = ? AND number = ?"  # noqa: S608 - constant
        found = self._rows(query, (model, number))
        return rows.to_version(found[0]) if found else None

    def alias_changes(self, model: str) -> list[AliasChange]:
        query = f"SELECT {_ALIAS_CHANGE} FROM alias_change WHERE model = ? ORDER BY sequence"  # noqa: S608 - constant
        return [rows.to_alias_change(row) for row in self._rows(query, (model,))]

    def aliases(self, model: str) -> dict[str, int]:
        return dict(self._rows(_NOW_NAMED, (model,)))

    def api_keys(self) -> list[Key]:
        return [rows.to_key(row) for row in self._rows("SELECT * FROM key ORDER BY created, id")]

    def settings(self) -> list[Setting]:
        found = self._rows("SELECT * FROM setting ORDER BY name, model")
        return [rows.to_setting(row) for row in found]

    def records(
        self, wanted: RecordFilter, *, before: str | None, limit: int
    ) -> list[tuple[int, bytes]]:
        return records.find_records(self._rows, wanted, before, limit)

    def record(self, record_id: str) -> tuple[int, bytes] | None:
        found = self._rows("SELECT idx, leaf FROM record WHERE id = ?", (rows.id_bytes(record_id),))
        return (found[0][0], found[0][1]) if found else None

    def payload(self, record_id: str) -> Payload | None:
        with translated():
            return payloads.read(self._connection, self._vault, rows.id_bytes(record_id))

    def streams(self, model: str) -> list[int]:
        return payloads.streams(self._rows, model)

    def aged(self, stream: int, *, after: bytes, before: datetime, limit: int) -> list[Aged]:
        return payloads.aged(self._rows, (stream, after, before), limit)

    def tallies(
        self, *, since: datetime, until: datetime, hours: int, model: str | None
    ) -> list[Tally]:
        span = tallies.span(since, until, hours, model)
        return [tallies.to_tally(row) for row in self._rows(tallies.SELECT, span)]

    def positions(self) -> dict[str, int]:
        return dict(self._rows("SELECT segment, reached FROM position"))

    def tree_size(self) -> int:
        return log.size(self._rows)

    def tile(self, level: int, number: int) -> bytes:
        return log.tile(self._rows, level, number)

    def leaves(self, start: int, end: int) -> list[bytes]:
        return log.leaves(self._rows, start, end)

    def checkpoint(self) -> SignedCheckpoint | None:
        return log.checkpoint(self._rows)

    def checkpoints(self) -> list[SignedCheckpoint]:
        return log.checkpoints(self._rows)

    def origins(self) -> list[Origin]:
        return log.origins(self._rows)

    def destinations(self) -> list[Destination]:
        return outbox.destinations(self._rows)

    def deliveries(
        self, state: DeliveryState | None, *, before: int | None, limit: int
    ) -> list[Delivery]:
        return outbox.deliveries(self._rows, state, before, limit)

    def delivery(self, number: int) -> Delivery | None:
        return outbox.delivery(self._rows, number)

    def next_delivery(self, destination: str, at: datetime) -> Delivery | None:
        return outbox.next_delivery(self._rows, destination, at)

    def waiting_destinations(self, at: datetime) -> list[str]:
        return outbox.waiting(self._rows, at)

    def delivery_counts(self) -> list[DeliveryCount]:
        return outbox.counts(self._rows)

    def workers(self) -> list[WorkerStatus]:
        return [rows.to_worker(row) for row in self._rows("SELECT * FROM worker ORDER BY worker")]


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
        query = f"INSERT INTO alias_change ({_ALIAS_CHANGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant
        self._change(query, rows.alias_change_row(change))

    def add_key(self, key: Key) -> None:
        self._change("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.key_row(key))

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
        self._opened: list[apsw.Connection] = []
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
                self._opened.append(connection)
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
