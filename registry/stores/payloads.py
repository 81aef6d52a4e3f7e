"""The payloads of a SQLite store, sealed for the persons that their requests named.

The row of a person keeps its place and its size for good: an erasure overwrites it, and rows are
only ever added behind the last. So SQLite has no reason to move one, and the bytes that were
overwritten are the only ones there were. The index holds but a few bytes of the look-up value.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import apsw
from msgspec import Struct

from registry.entry import Entry, Payload
from registry.errors import PayloadErased, PayloadExpired, PayloadKeyMissing
from registry.vault import Vault, new_key, seal, unseal

ERASED = "erased"
EXPIRED = "expired"

_ID_SIZE = 16
_TAG_SIZE = 4
_INSERT = "INSERT INTO payload VALUES (?, ?, ?, ?, ?, ?, NULL)"
_SELECT = """
    SELECT record.id, gone, salt, input, output, sealed, subject_key.id, wrapped
    FROM record JOIN payload USING (idx) LEFT JOIN subject_key ON number = subject
    WHERE record.id = ?
"""
_FIND = "SELECT number, id, wrapped FROM subject_key WHERE tag = ? AND lookup = ?"
_MODELS = """
    SELECT DISTINCT model FROM payload JOIN record USING (idx) WHERE payload.subject = ?
"""
# Each in place and as long as it was.
_OVERWRITE = """
    UPDATE subject_key
    SET tag = zeroblob(length(tag)), lookup = zeroblob(length(lookup)),
        wrapped = zeroblob(length(wrapped))
    WHERE number = ?
"""
_EMPTY = """
    UPDATE payload
    SET salt = x'', input = NULL, output = NULL, sealed = NULL, subject = NULL, gone = ?
"""


class Subject(Struct, frozen=True, kw_only=True):
    """A person of whom something is kept: the random id of their key, and the models it is of."""

    number: int
    id: str
    models: frozenset[str]


def add(connection: apsw.Connection, vault: Vault, entries: Iterable[tuple[int, Entry]]) -> None:
    """Keep the payloads of records that are in the log, each sealed if it names a person.

    Raises PayloadKeyMissing where the key that earlier ones were sealed with is not there.
    """
    plain: list[Sequence[Any]] = []
    named: list[tuple[int, Payload, str]] = []
    for index, entry in entries:
        payload = entry.payload
        if payload is None:
            continue
        if payload.subject is None:
            plain.append((index, payload.salt, payload.input, payload.output, None, None))
        else:
            named.append((index, payload, payload.subject))
    connection.executemany(_INSERT, plain)
    if named:
        _check_key(connection, vault)
    for index, payload, subject in named:
        number, key = _key_of(connection, vault, subject)
        [(record_id,)] = connection.execute("SELECT id FROM record WHERE idx = ?", (index,))
        sealed = seal(key, record_id, payload)
        connection.execute(_INSERT, (index, b"", None, None, number, sealed))


def read(connection: apsw.Connection, vault: Vault, record_id: bytes | None) -> Payload | None:
    """Return the payload of a record, or None where none was ever kept.

    Raises PayloadErased, PayloadExpired, PayloadKeyMissing and PayloadDamaged.
    """
    found = connection.execute(_SELECT, (record_id,)).fetchone()
    return None if found is None else to_payload(vault, found)


def to_payload(vault: Vault, row: Sequence[Any]) -> Payload:
    """Read a row: record's id, gone, salt, input, output, sealed, id and key of its person."""
    record_id, gone, salt, given, answered, sealed, subject_id, wrapped = row
    if gone is not None:
        raise (PayloadErased if gone == ERASED else PayloadExpired)(_text(record_id))
    if sealed is None:
        return Payload(salt, given, answered)
    return unseal(vault.unwrap(subject_id, wrapped), record_id, sealed)


def find_subject(connection: apsw.Connection, vault: Vault, subject: str) -> Subject | None:
    """Find what is kept of a person. Raises PayloadKeyMissing."""
    if not _has_key(connection):
        return None
    _check_key(connection, vault)
    lookup = vault.lookup(subject)
    found = connection.execute(_FIND, (lookup[:_TAG_SIZE], lookup)).fetchone()
    if found is None:
        return None
    number, subject_id, _ = found
    models = {model for (model,) in connection.execute(_MODELS, (number,))}
    return Subject(number=number, id=subject_id.hex(), models=frozenset(models))


def erase(connection: apsw.Connection, number: int) -> int:
    """Overwrite the key of a person, empty their payloads, and return how many those were."""
    connection.execute(f"{_EMPTY} WHERE subject = ?", (ERASED, number))
    emptied = connection.changes()
    connection.execute(_OVERWRITE, (number,))
    return emptied


def expire(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Empty payloads, and overwrite the keys of persons of whom nothing else is kept."""
    places = ", ".join("?" * len(indexes))
    named = f"SELECT DISTINCT subject FROM payload WHERE idx IN ({places}) AND subject IS NOT NULL"  # noqa: S608 - places only
    subjects = connection.execute(named, indexes).fetchall()
    connection.execute(f"{_EMPTY} WHERE idx IN ({places})", (EXPIRED, *indexes))
    for (number,) in subjects:
        is_kept = connection.execute("SELECT 1 FROM payload WHERE subject = ? LIMIT 1", (number,))
        if is_kept.fetchone() is None:
            connection.execute(_OVERWRITE, (number,))


def _key_of(connection: apsw.Connection, vault: Vault, subject: str) -> tuple[int, bytes]:
    """Return number and key of a person, made where there are none."""
    lookup = vault.lookup(subject)
    found = connection.execute(_FIND, (lookup[:_TAG_SIZE], lookup)).fetchone()
    if found is not None:
        number, subject_id, wrapped = found
        return number, vault.unwrap(subject_id, wrapped)
    subject_id, key = os.urandom(_ID_SIZE), new_key()
    connection.execute(
        "INSERT INTO subject_key (id, tag, lookup, wrapped) VALUES (?, ?, ?, ?)",
        (subject_id, lookup[:_TAG_SIZE], lookup, vault.wrap(subject_id, key)),
    )
    return connection.last_insert_rowid(), key


def _has_key(connection: apsw.Connection) -> bool:
    return connection.execute("SELECT 1 FROM payload_key").fetchone() is not None


def _check_key(connection: apsw.Connection, vault: Vault) -> None:
    """Hold the vault's key to be the one in use; the first use makes it so.

    With another, a person would be taken for one of whom nothing is kept.
    """
    found = connection.execute("SELECT fingerprint FROM payload_key").fetchone()
    if found is None:
        vault.make_key()
        connection.execute("INSERT INTO payload_key VALUES (?)", (vault.fingerprint(),))
    elif found[0] != vault.fingerprint():
        raise PayloadKeyMissing


def _text(record_id: bytes) -> str:
    digits = record_id.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
