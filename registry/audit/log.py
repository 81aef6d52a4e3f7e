"""The log: journal records brought into the store, in order and exactly once."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from registry.audit.segment import Damage, Group, is_sealed, list_segments, read_groups
from registry.entry import Entry, encode_record, new_record_id, now_ns
from registry.files import sync_folder
from registry.records import AuditRecord, Kind, Outcome
from registry.store import Store

BATCH_ENTRIES = 2_000
DAMAGED_SUFFIX = ".damaged"


class Integrated(Struct, frozen=True, kw_only=True):
    """What one round of integration did: records brought in, segments done, damage found."""

    records: int = 0
    done: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class _Batch(Struct, frozen=True):
    """Entries of consecutive groups, up to byte `end` of their segment."""

    end: int
    entries: list[Entry]
    damages: list[Damage]


def integrate(store: Store, journal_dir: Path) -> Integrated:
    """Bring every record that the journal holds into the store, and drop segments that are done.

    A segment is done when its writer is gone and its last whole group is in the store. Where
    durable bytes cannot be read any more, a record of kind `damage` says so, the records behind
    them are integrated all the same, and the file is kept under a second name.
    """
    records = 0
    done: list[str] = []
    damaged: list[str] = []
    positions = store.positions()
    for path in list_segments(journal_dir):
        # Asked before reading: if no writer is left now, what is read is all there will be.
        sealed = is_sealed(path)
        reached = positions.pop(path.name, 0)
        for batch in _batches(path, reached):
            if batch.damages:
                _keep_copy(path)
                damaged.append(path.name)
            store.integrate(path.name, reached, batch.end, batch.entries)
            reached = batch.end
            records += len(batch.entries)
        if sealed:
            path.unlink()
            done.append(path.name)
    _forget(store, journal_dir, [*done, *positions])
    return Integrated(records=records, done=tuple(done), damaged=tuple(damaged))


def _forget(store: Store, journal_dir: Path, gone: list[str]) -> None:
    """Drop the positions of segments that are gone, once a power failure cannot bring them back.

    One that came back without its position would be read from its start, and what it holds is in
    the store already.
    """
    if gone:
        sync_folder(journal_dir)
    for name in gone:
        store.forget_segment(name)


def _batches(path: Path, offset: int) -> Iterator[_Batch]:
    batch = _Batch(offset, [], [])
    for part in read_groups(path, offset):
        if isinstance(part, Group):
            entries, damages = batch.entries + part.entries, batch.damages
        else:
            entries = [*batch.entries, _damage_entry(path.name, part)]
            damages = [*batch.damages, part]
        batch = _Batch(part.end, entries, damages)
        if len(batch.entries) >= BATCH_ENTRIES:
            yield batch
            batch = _Batch(batch.end, [], [])
    if batch.entries:
        yield batch


def _damage_entry(segment: str, damage: Damage) -> Entry:
    time_ns = now_ns()
    record = AuditRecord(
        id=new_record_id(time_ns),
        kind=Kind.DAMAGE,
        time=str(time_ns),
        outcome=Outcome.FAILED,
        subject=f"{segment} bytes {damage.start} to {damage.end}",
    )
    return Entry(encode_record(record), None)


def _keep_copy(path: Path) -> None:
    """Give the file a second name, which stays when the first goes."""
    with suppress(FileExistsError):
        os.link(path, path.with_name(path.name + DAMAGED_SUFFIX))
