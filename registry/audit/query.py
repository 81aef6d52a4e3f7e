"""Questions to the audit trail, answered from the store and from what the journal holds beyond it.

A record is found as soon as its answer was received, integrated or not.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from registry.audit.segment import Group, list_segments, read_groups
from registry.entry import Entry, Heading, Payload, decode_record, read_heading
from registry.errors import PayloadNotFound, RecordNotFound
from registry.reader import Reader
from registry.records import AuditRecord, RecordFilter
from registry.store import Store
from registry.times import to_us

MAX_LIMIT = 1_000

# What the journal holds beyond the store, with what it is chosen by.
_Tail: TypeAlias = Iterator[tuple[Heading, Entry]]


class Found(Struct, frozen=True, kw_only=True):
    """One record, its exact bytes, and its index in the log; None while it is not integrated."""

    record: AuditRecord
    leaf: bytes
    index: int | None


class Page(Struct, frozen=True, kw_only=True):
    """Records, newest first, and the cursor of those that follow; None where none do."""

    records: tuple[Found, ...]
    cursor: str | None


class AuditTrail:
    """Everything recorded, by filter and by id."""

    def __init__(self, store: Store, journal_dir: Path) -> None:
        self._store = store
        self._journal_dir = journal_dir

    def find(self, wanted: RecordFilter, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Return the newest records that a filter accepts, at most `limit`, older than `cursor`.

        Following cursors meets each record that existed at the first page once. What is written
        meanwhile is newer than every cursor, unless a clock goes back.
        """
        limit = max(1, min(limit, MAX_LIMIT))
        cursor = None if cursor is None else as_written(cursor)
        with self._view() as (view, tail):
            stored = view.records(wanted, before=cursor, limit=limit + 1)
            found: dict[str, tuple[int | None, bytes]] = {
                heading.id: (None, entry.leaf)
                for heading, entry in tail
                if (cursor is None or heading.id < cursor) and accepts(wanted, heading)
            }
        # A segment that was dropped meanwhile is read from its start, so a record can be in both;
        # the store's is the one with an index.
        found.update((read_heading(leaf).id, (index, leaf)) for index, leaf in stored)
        newest = sorted(found, reverse=True)
        return Page(
            records=tuple(_found(*found[one]) for one in newest[:limit]),
            cursor=newest[limit - 1] if len(newest) > limit else None,
        )

    def walk(self, wanted: RecordFilter, limit: int | None = None) -> Iterator[Found]:
        """Yield the records that a filter accepts, newest first, as many as `limit` at most."""
        cursor = None
        while limit is None or limit > 0:
            size = MAX_LIMIT if limit is None else min(limit, MAX_LIMIT)
            page = self.find(wanted, limit=size, cursor=cursor)
            yield from page.records
            if page.cursor is None:
                return
            cursor = page.cursor
            limit = None if limit is None else limit - len(page.records)

    def record(self, record_id: str) -> Found:
        """Return one record. Raises RecordNotFound."""
        record_id = as_written(record_id)
        with self._view() as (view, tail):
            stored = view.record(record_id)
            if stored is not None:
                return _found(*stored)
            for heading, entry in tail:
                if heading.id == record_id:
                    return _found(None, entry.leaf)
        raise RecordNotFound(record_id)

    def journaled(self, record_ids: Collection[str]) -> dict[str, bytes]:
        """Return the exact bytes of those records that are in the journal and not in the store.

        By their ids as records hold them.
        """
        with self._view() as (view, tail):
            wanted = {as_written(one) for one in record_ids if view.record(one) is None}
            if not wanted:
                return {}
            return {head.id: entry.leaf for head, entry in tail if head.id in wanted}

    def payload(self, record_id: str) -> Payload:
        """Return input and output of one record. Raises RecordNotFound and PayloadNotFound."""
        record_id = as_written(record_id)
        with self._view() as (view, tail):
            if view.record(record_id) is not None:
                payload = view.payload(record_id)
            else:
                payload = _payload_of(tail, record_id)
        if payload is None:
            raise PayloadNotFound(record_id)
        return payload

    @contextmanager
    def _view(self) -> Iterator[tuple[Reader, _Tail]]:
        # The segments are opened before the store is looked at: one that goes meanwhile was
        # integrated before the look, and its open descriptor outlives its name.
        with ExitStack() as stack:
            segments: dict[str, int] = {}
            for path in list_segments(self._journal_dir):
                try:
                    segments[path.name] = os.open(path, os.O_RDONLY)
                except FileNotFoundError:
                    continue
                stack.callback(os.close, segments[path.name])
            view = stack.enter_context(self._store.snapshot())
            yield view, _entries(segments, view.positions())


def accepts(wanted: RecordFilter, record: AuditRecord | Heading) -> bool:
    """Say whether a filter accepts a record; the store's query says the same in SQL."""
    for name in ("model", "version", "lane", "kind", "principal", "outcome", "request_id"):
        value = getattr(wanted, name)
        if value is not None and value != getattr(record, name):
            return False
    time_ns = int(record.time)
    if wanted.since is not None and time_ns < to_us(wanted.since) * 1000:
        return False
    return wanted.until is None or time_ns < to_us(wanted.until) * 1000


def as_written(record_id: str) -> str:
    """Return an id in the form that records hold, since entries of the journal compare as texts."""
    try:
        return str(UUID(record_id))
    except ValueError:
        return record_id


def _found(index: int | None, leaf: bytes) -> Found:
    return Found(record=decode_record(leaf), leaf=leaf, index=index)


def _entries(segments: dict[str, int], positions: dict[str, int]) -> _Tail:
    for name, descriptor in segments.items():
        for part in read_groups(descriptor, positions.get(name, 0)):
            if isinstance(part, Group):
                for entry in part.entries:
                    yield read_heading(entry.leaf), entry


def _payload_of(tail: _Tail, record_id: str) -> Payload | None:
    for heading, entry in tail:
        if heading.id == record_id:
            return entry.payload
    raise RecordNotFound(record_id)
