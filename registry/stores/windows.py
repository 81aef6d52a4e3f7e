"""Windows, what was taken for them, and blocks, in SQL; the order of columns is `schema.sql`'s.

Each function is given `ask`, which runs one statement in the transaction that is open.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from operator import add, sub
from typing import Any

from registry.records import Lane
from registry.stores.rows import Row
from registry.times import from_us, to_us
from registry.windows import Block, DetectorState, LaneCounts, Span, Window, WorkerCounts

Ask = Callable[..., Sequence[Row]]

# The lanes in which a champion is judged: it answered, or another did in its place.
_JUDGED = (Lane.CHAMPION, Lane.FALLBACK)
# Blocks of a version that nobody has looked at; beyond that neighbours are added up.
MOST_BLOCKS = 128
_MICROSECOND = timedelta(microseconds=1)

_TAKEN = "SELECT counts FROM taken WHERE worker = ? AND model = ? AND version = ? AND lane = ?"
_WINDOW = (
    "SELECT counts FROM window"
    " WHERE model = ? AND version = ? AND lane = ? AND span = ? AND start = ?"
)
_WINDOWS = (
    "SELECT start, counts FROM window"
    " WHERE model = ? AND version = ? AND lane = ? AND span = ? AND start >= ? AND start < ?"
    " ORDER BY start"
)
_OLD = (
    "DELETE FROM window WHERE rowid IN"
    " (SELECT rowid FROM window WHERE span = ? AND start < ? LIMIT ?) RETURNING 1"
)
_BLOCKS = "SELECT sequence, counts FROM block WHERE model = ? AND version = ? ORDER BY sequence"


def take(ask: Ask, workers: Iterable[WorkerCounts]) -> None:
    """Add what workers counted since it was last taken to windows and blocks, and keep that it was.

    Counts of a version that is another one here are passed over, and so are those that are older
    than what was taken, as a file can be after a power failure.
    """
    new: dict[tuple[str, int, str, int], array[int]] = {}
    for worker in workers:
        for lane in worker.lanes:
            difference = _take(ask, worker.id, lane)
            if difference is not None:
                minute = worker.at_us - worker.at_us % _us(Span.MINUTE)
                _add(new, (lane.model, lane.version, lane.lane, minute), difference)
    blocks: dict[tuple[str, int], array[int]] = {}
    for (model, version, lane_name, minute), counts in new.items():
        for span in Span:
            start = minute - minute % _us(span)
            _add_to_window(ask, (model, version, lane_name, span.value, start), counts)
        if lane_name in _JUDGED:
            _add(blocks, (model, version), counts)
    for (model, version), counts in blocks.items():
        row = (model, version, _bytes(counts))
        ask("INSERT INTO block (model, version, counts) VALUES (?, ?, ?)", row)
        _join_blocks(ask, model, version)


def taken(ask: Ask) -> list[str]:
    """Return the ids of the workers of which anything is kept as taken."""
    return [worker for (worker,) in ask("SELECT DISTINCT worker FROM taken ORDER BY worker")]


def forget(ask: Ask, worker: str) -> None:
    """Forget what was taken of a worker whose counts are gone."""
    ask("DELETE FROM taken WHERE worker = ?", (worker,))


def windows(
    ask: Ask, of: tuple[str, int, str, Span], since: datetime, until: datetime
) -> list[Window]:
    """Return the windows that began in a time, oldest first."""
    model, version, lane, span = of
    values = (model, version, lane, span.value, to_us(since), to_us(until))
    return [Window(start=from_us(start), counts=counts) for start, counts in ask(_WINDOWS, values)]


def expire(ask: Ask, at: datetime, limit: int) -> int:
    """Remove windows that have been kept for long enough, at most `limit` of each span."""
    return sum(len(ask(_OLD, (span.value, to_us(at - span.kept_for), limit))) for span in Span)


def blocks(ask: Ask, model: str, version: int) -> list[Block]:
    """Return the blocks of a version that nobody has looked at, oldest first."""
    return [
        Block(sequence=sequence, counts=counts)
        for sequence, counts in ask(_BLOCKS, (model, version))
    ]


def drop_blocks(ask: Ask, model: str, version: int) -> None:
    ask("DELETE FROM block WHERE model = ? AND version = ?", (model, version))


def judged(ask: Ask) -> list[tuple[str, int]]:
    """Return the versions of which blocks or a detector are kept."""
    query = "SELECT model, version FROM detector UNION SELECT model, version FROM block"
    return [(model, version) for model, version in ask(query)]


def detector(ask: Ask, model: str, version: int) -> DetectorState | None:
    query = "SELECT state, looked FROM detector WHERE model = ? AND version = ?"
    found = ask(query, (model, version))
    if not found:
        return None
    [(state, looked)] = found
    return DetectorState(state=state, looked=from_us(looked))


def keep_detector(ask: Ask, model: str, version: int, kept: DetectorState) -> None:
    row = (model, version, kept.state, to_us(kept.looked))
    ask("INSERT OR REPLACE INTO detector VALUES (?, ?, ?, ?)", row)


def drop_detector(ask: Ask, model: str, version: int) -> None:
    ask("DELETE FROM detector WHERE model = ? AND version = ?", (model, version))


def _take(ask: Ask, worker: str, lane: LaneCounts) -> "array[int] | None":
    """Return what is new of the counts of a lane, once; None where nothing is."""
    manifest = ask(
        "SELECT manifest FROM version WHERE model = ? AND number = ?", (lane.model, lane.version)
    )
    if not manifest or manifest[0][0] != lane.manifest:
        return None
    key = (worker, lane.model, lane.version, lane.lane)
    before = ask(_TAKEN, key)
    now = _array(lane.counts)
    difference = now
    if before:
        if before[0][0] == lane.counts:
            return None
        difference = array("q", map(sub, now, _array(before[0][0])))
        if min(difference) < 0:
            return None
    ask("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?, ?)", (*key, lane.counts))
    return difference


def _add_to_window(ask: Ask, key: Row, counts: "array[int]") -> None:
    """Add to a window; one whose vector is of another layout, of an older program, begins anew."""
    found = ask(_WINDOW, key)
    if found and len(found[0][0]) == len(counts) * counts.itemsize:
        counts = array("q", map(add, counts, _array(found[0][0])))
    ask("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?, ?)", (*key, _bytes(counts)))


def _join_blocks(ask: Ask, model: str, version: int) -> None:
    """Add each second block to the one before it where there are too many."""
    [(count,)] = ask("SELECT count(*) FROM block WHERE model = ? AND version = ?", (model, version))
    if count <= MOST_BLOCKS:
        return
    kept = blocks(ask, model, version)
    for first, second in zip(kept[::2], kept[1::2], strict=False):
        if len(first.counts) == len(second.counts):
            both = array("q", map(add, _array(first.counts), _array(second.counts)))
            ask("UPDATE block SET counts = ? WHERE sequence = ?", (_bytes(both), first.sequence))
        ask("DELETE FROM block WHERE sequence = ?", (second.sequence,))


def _add(sums: "dict[Any, array[int]]", key: Row, counts: "array[int]") -> None:
    present = sums.get(key)
    sums[key] = counts if present is None else array("q", map(add, present, counts))


def _array(counts: bytes) -> "array[int]":
    cells = array("q", counts)
    if sys.byteorder == "big":
        cells.byteswap()
    return cells


def _bytes(cells: "array[int]") -> bytes:
    if sys.byteorder == "big":
        cells = cells[:]
        cells.byteswap()
    return cells.tobytes()


def _us(span: Span) -> int:
    return span.length // _MICROSECOND
