"""The payloads of a SQLite store, sealed for the persons that their requests named.

The row of a person's key keeps its place and its size for good: an erasure overwrites it, and rows
are only ever added behind the last. So SQLite has no reason to move one, and the bytes that were
overwritten are the only ones there were. The index holds but a few bytes of the look-up value.
Sealed payloads are overwritten in place too; a copy that SQLite made when it moved their row, since
others of the page had gone, can be read by nobody.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import apsw
from msgspec import Struct

from registry.entry import Entry, Payload
from registry.errors import PayloadErased, PayloadExpired, PayloadKeyMissing
from registry.stores import labels
from registry.stores.rows import Row
from registry.times import to_us
from registry.vault import Vault, new_key, seal, unseal

Ask = Callable[[str, Sequence[Any]], list[Row]]

_ID_SIZE = 16
_TAG_SIZE = 4
_NOBODY = bytes(_ID_SIZE)  # whom an erased payload is of
_INSERT = "INSERT INTO payload VALUES (?, ?, ?, ?, ?, ?)"
_SELECT = """
    SELECT record.id, salt, input, output, subject, sealed, wrapped
    FROM record JOIN payload USING (idx) LEFT JOIN subject_key ON subject_key.id = subject
    WHERE record.id = ?
"""
_FIND = "SELECT id, wrapped FROM subject_key WHERE tag = ? AND lookup = ?"
_MODELS = """
    SELECT DISTINCT model FROM payload JOIN record USING (idx) JOIN stream ON number = stream
    WHERE payload.subject = ?
"""
_STREAMS = "SELECT number FROM stream WHERE model = ? AND kind = 'inference' ORDER BY number"
_AGED = """
    SELECT record.id, idx, salt <> x'' OR subject <> zeroblob(16)
    FROM record INDEXED BY record_stream LEFT JOIN payload USING (idx)
    WHERE stream = ? AND record.id > ? AND record.id < ? ORDER BY record.id LIMIT ?
"""
# Each in place and as long as it was.
_ERASE_KEY = """
    UPDATE subject_key
    SET tag = zeroblob(length(tag)), lookup = zeroblob(length(lookup)),
        wrapped = zeroblob(length(wrapped))
    WHERE id = ?
"""
_ERASE = """
    UPDATE payload SET subject = zeroblob(length(subject)), sealed = zeroblob(length(sealed))
    WHERE subject = ?
"""
_INDEXES = "SELECT idx FROM payload WHERE subject = ?"
_EXPIRE = """
    UPDATE payload SET salt = x'', input = NULL, output = NULL, subject = NULL, sealed = NULL
    WHERE idx = ?
"""


class Subject(Struct, frozen=True, kw_only=True):
    """A person of whom something is kept: the random id of their key, and the models it is of."""

    id: bytes
    models: frozenset[str]


class Aged(Struct, frozen=True, kw_only=True):
    """A record that retention may be done with, and whether a payload of it is kept."""

    id: bytes
    index: int
    has_payload: bool

    @property
    def time_ms(self) -> int:
        """The time of the record, as its id has it: in milliseconds, rounded down."""
        return int.from_bytes(self.id[:6])


def add(connection: apsw.Connection, vault: Vault, entries: Iterable[tuple[int, Entry]]) -> None:
    """Keep the payloads of records that are in the log, each sealed if it names a person.

    Raises PayloadKeyMissing where the key that earlier ones were sealed with is not there.
    """
    kept = [(index, entry.payload) for index, entry in entries if entry.payload is not None]
    if any(payload.subject is not None for _, payload in kept):
        _check_key(connection, vault)
    # In the order of their indexes, so that each row goes behind the last.
    connection.executemany(
        _INSERT, [_row(connection, vault, index, payload) for index, payload in kept]
    )


def read(connection: apsw.Connection, vault: Vault, record_id: bytes | None) -> Payload | None:
    """Return the payload of a record, or None where none was ever kept.

    Raises PayloadErased, PayloadExpired, PayloadKeyMissing and PayloadDamaged.
    """
    found = connection.execute(_SELECT, (record_id,)).fetchone()
    return None if found is None else to_payload(vault, found)


def to_payload(vault: Vault, row: Sequence[Any]) -> Payload:
    """Read a row: record's id, salt, input, output, id of the person, sealed bytes, their key."""
    record_id, salt, given, answered, subject, sealed, wrapped = row
    if subject == _NOBODY:
        raise PayloadErased(str(UUID(bytes=record_id)))
    if sealed is not None:
        return unseal(vault.unwrap(subject, wrapped), record_id, sealed)
    if not salt:
        raise PayloadExpired(str(UUID(bytes=record_id)))
    return Payload(salt, given, answered)


def find_subject(connection: apsw.Connection, vault: Vault, subject: str) -> Subject | None:
    """Find what is kept of a person. Raises PayloadKeyMissing."""
    if connection.execute("SELECT 1 FROM payload_key").fetchone() is None:
        return None
    _check_key(connection, vault)
    lookup = vault.lookup(subject)
    found = connection.execute(_FIND, (lookup[:_TAG_SIZE], lookup)).fetchone()
    if found is None:
        return None
    models = {model for (model,) in connection.execute(_MODELS, (found[0],))}
    return Subject(id=found[0], models=frozenset(models))


def erase(connection: apsw.Connection, subject: Subject) -> int:
    """Overwrite the key, the payloads and the labels of a person; return how many payloads."""
    labels.forget(connection, [row[0] for row in connection.execute(_INDEXES, (subject.id,))])
    connection.execute(_ERASE, (subject.id,))
    payloads = connection.changes()
    connection.execute(_ERASE_KEY, (subject.id,))
    return payloads


def expire(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Empty payloads with their labels, and overwrite the keys of persons who have no other."""
    labels.forget(connection, indexes)
    subjects: set[bytes] = set()
    for index in indexes:
        found = connection.execute("SELECT subject FROM payload WHERE idx = ?", (index,)).fetchone()
        connection.execute(_EXPIRE, (index,))
        subjects.update(subject for subject in found or () if subject is not None)
    for subject in subjects:
        is_kept = connection.execute("SELECT 1 FROM payload WHERE subject = ? LIMIT 1", (subject,))
        if is_kept.fetchone() is None:
            connection.execute(_ERASE_KEY, (subject,))


def streams(ask: Ask, model: str) -> list[int]:
    """Return the numbers of the streams that the inferences of a model are in."""
    return [number for (number,) in ask(_STREAMS, (model,))]


def aged(ask: Ask, of: tuple[int, bytes, datetime], limit: int) -> list[Aged]:
    """Return the oldest records of a stream with ids above one, and of a time before another."""
    stream, after, before = of
    bound = max(0, to_us(before) // 1000).to_bytes(6)  # what is of the same millisecond stays
    return [
        Aged(id=record_id, index=index, has_payload=bool(has_payload))
        for record_id, index, has_payload in ask(_AGED, (stream, after, bound, limit))
    ]


def remove(connection: apsw.Connection, indexes: Sequence[int]) -> None:
    """Remove records, with what is kept of their payloads and their labels."""
    expire(connection, indexes)
    labels.remove(connection, indexes)
    for table in ("payload", "record"):
        connection.executemany(f"DELETE FROM {table} WHERE idx = ?", ((one,) for one in indexes))  # noqa: S608 - constant


def _row(
    connection: apsw.Connection, vault: Vault, index: int, payload: Payload
) -> tuple[int | bytes | None, ...]:
    if payload.subject is None:
        return (index, payload.salt, payload.input, payload.output, None, None)
    subject_id, key = _key_of(connection, vault, payload.subject)
    [(record_id,)] = connection.execute("SELECT id FROM record WHERE idx = ?", (index,))
    return (index, b"", None, None, subject_id, seal(key, record_id, payload))


def _key_of(connection: apsw.Connection, vault: Vault, subject: str) -> tuple[bytes, bytes]:
    """Return id and key of a person, made where there are none."""
    lookup = vault.lookup(subject)
    found = connection.execute(_FIND, (lookup[:_TAG_SIZE], lookup)).fetchone()
    if found is not None:
        return found[0], vault.unwrap(*found)
    subject_id, key = os.urandom(_ID_SIZE), new_key()
    connection.execute(
        "INSERT INTO subject_key (id, tag, lookup, wrapped) VALUES (?, ?, ?, ?)",
        (subject_id, lookup[:_TAG_SIZE], lookup, vault.wrap(subject_id, key)),
    )
    return subject_id, key


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
