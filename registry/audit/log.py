"""The log: journal records brought into the store, in order and exactly once."""

import os
from collections.abc import Callable, Collection, Iterator
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
    """What one round of integration did: records brought in, segments done, damage found.

    The files of segments that are done stay until `drop_segments`.
    """

    records: int = 0
    done: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class _Batch(Struct, frozen=True):
    """Entries of consecutive groups, up to byte `end` of their segment."""

    end: int
    entries: list[Entry]
    damages: list[Damage]


def integrate(
    store: Store, journal_dir: Path, *, after_batch: Callable[[], None] = lambda: None
) -> Integrated:
    """Bring every record that the journal holds into the store.

    A segment is done when its writer is gone and its last whole group is in the store. Where
    durable bytes cannot be read any more, a record of kind `damage` says so, the records behind
    them are integrated all the same, and the file is kept under a second name. `after_batch` is
    called between transactions, so that a long way to catch up delays nothing else.
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
            after_batch()
        if sealed:
            done.append(path.name)
    drop_segments(store, journal_dir, positions)
    return Integrated(records=records, done=tuple(done), damaged=tuple(damaged))


def segments_with_records(journal_dir: Path) -> frozenset[str]:
    """Name the segments that hold records now, integrated or not."""
    names: set[str] = set()
    for path in list_segments(journal_dir):
        with suppress(FileNotFoundError):  # one that is done goes meanwhile
            if next(read_groups(path), None) is not None:
                names.add(path.name)
    return frozenset(names)


def damaged_segments(journal_dir: Path) -> tuple[str, ...]:
    """Name the copies that are kept of segments with bytes that could not be read."""
    return tuple(sorted(path.name for path in journal_dir.glob(f"*{DAMAGED_SUFFIX}")))


def drop_segments(store: Store, journal_dir: Path, segments: Collection[str]) -> None:
    """Remove segments that are done, and forget them once no power failure can bring them back.

    One that came back without its position would be read from its start, and what it holds is in
    the store already.
    """
    for name in segments:
        (journal_dir / name).unlink(missing_ok=True)
    if segments:
        sync_folder(journal_dir)
    for name in segments:
        store.forget_segment(name)


def _batches(path: Path, offset: int) -> Iterator[_Batch]:
    end, entries, damages = offset, list[Entry](), list[Damage]()
    for part in read_groups(path, offset):
        end = part.end
        if isinstance(part, Group):
            entries += part.entries
        else:
            entries.append(_damage_entry(path.name, part))
            damages.append(part)
        if len(entries) >= BATCH_ENTRIES:
            yield _Batch(end, entries, damages)
            entries, damages = [], []
    if entries:
        yield _Batch(end, entries, damages)


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
