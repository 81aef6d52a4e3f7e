"""The store in one SQLite file.

Write-ahead log with `synchronous=FULL`: what `write` returned from survives a power failure. Each
thread gets a connection of its own; writers take turns through SQLite's lock.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from weakref import WeakSet

import apsw

from registry.answers import Answer, Claim
from registry.entry import Entry
from registry.errors import Conflict, StoreUnavailable
from registry.events import Delivery
from registry.stores import answers, log, outbox, payloads, records, rows, windows
from registry.stores.connection import (
    BUSY_TIMEOUT_MS,
    check_library,
    connect,
    immediately,
    prepare,
    translated,
)
from registry.stores.reader import SqliteReader
from registry.stores.transaction import SqliteTransaction
from registry.vault import Vault
from registry.windows import WorkerCounts
from registry.workers import WorkerStatus

_REACHED = "SELECT reached FROM position WHERE segment = ?"


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
