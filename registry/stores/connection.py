"""Connections to the SQLite file: opened as a store needs them, over tables of the newest format.

What the driver raises becomes an error of the registry here, and nowhere else.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from registry.errors import Conflict, StoreIncompatible, StoreUnavailable
from registry.stores import log, records

# A connection's cache of pages. SQLite's usual 2 MiB are fewer pages than the indexes have above
# their leaves: at a million records integration then takes a sixth longer.
_CACHE_KIB = 8 << 10
# How many pages the write-ahead log may have, 32 MiB, before it is brought into the file: pages of
# indexes change again and again, and the fewer times they are copied the better.
_LONGEST_WAL = 4_000
BUSY_TIMEOUT_MS = 10_000
SCHEMA_VERSION = 5
# Every SQLite from 3.7.0 to 3.51.2 can corrupt a WAL database that has two writers.
OLDEST_SAFE_SQLITE = (3, 51, 3)

_SCHEMA = Path(__file__).with_name("schema.sql")
# How a store of each older format becomes one of the next.
_MIGRATIONS = {step: _SCHEMA.with_name(f"from_{step}.sql") for step in (1, 2, 3, 4)}


def check_library(version: str) -> None:
    """Refuse a SQLite with the WAL-reset fault. Raises StoreIncompatible.

    >>> check_library("3.51.3")
    """
    if tuple(int(part) for part in version.split(".")) < OLDEST_SAFE_SQLITE:
        raise StoreIncompatible(
            f"SQLite {version} can corrupt the store; install an apsw that carries 3.51.3 or newer."
        )


def connect(path: Path) -> apsw.Connection:
    """Open the file so that what is committed survives a power failure. Raises StoreUnavailable."""
    with translated():
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_WAL}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        return connection


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Make the tables of a new file, or bring those of an older format to the newest.

    Raises StoreIncompatible for a file of a newer format.
    """
    with _alone(path):
        path.chmod(0o600)
        # Of a new file: a record is larger than a quarter of SQLite's usual page.
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
    # A table that others refer to is made anew with their references unchecked meanwhile.
    connection.execute("PRAGMA foreign_keys = OFF")
    with immediately(connection):
        (found,) = next(connection.execute("PRAGMA user_version"))
        if found == 0:
            connection.execute(_SCHEMA.read_text())
        elif found > SCHEMA_VERSION:
            raise StoreIncompatible(
                f"The store has format {found}; this program reads format {SCHEMA_VERSION}."
            )
        else:
            for step in range(found, SCHEMA_VERSION):
                connection.execute(_MIGRATIONS[step].read_text())
                if step == 2:
                    records.add_kept(connection)
                    log.hash_leaves(connection)
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def immediately(connection: apsw.Connection) -> Iterator[None]:
    """Hold the write lock from the first statement on, and commit or undo everything."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite undoes a transaction by itself when the disk fails.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the registry's."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise Conflict("What is stored already contradicts this change.") from error
    except apsw.Error as error:
        raise StoreUnavailable(type(error).__name__.removesuffix("Error").lower()) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time turn the file to its write-ahead log.

    SQLite would not wait for another that does the same, but refuse. The lock is on a file of its
    own, since closing a second descriptor of the database would drop SQLite's locks.
    """
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
