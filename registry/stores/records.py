"""Records in SQLite: how they are added, and how the newest of any filter are found.

What filters choose by, but for time, principal and request id, is the record's stream: there are as
many as there are different combinations. Every index has the records of a stream together, the
newest at the end. So a filter is a set of ranges, each of one stream, and a query merges their
ends: it reads no record that it does not return, whatever is asked for together and however rare it
is. Its time grows with the number of streams that fit, by a few microseconds each.

One pair costs more: of a request id that was used again and again, the entries of the index are
looked through for those of a principal.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import apsw
from msgspec import Struct

from registry.entry import Heading, read_heading
from registry.errors import InvalidRequest
from registry.records import RecordFilter
from registry.stores import tallies
from registry.stores.rows import Row, id_bytes
from registry.times import to_us

Ask = Callable[[str, Sequence[Any]], list[Row]]

# What makes a stream, as columns of `stream` and as members of a filter.
_OF_STREAM = ("kind", "outcome", "model", "version", "lane")
_FIRST_CHUNK, _LARGEST_CHUNK = 16, 1024
_CHUNK_OF_KEPT = 10_000
_BEHIND_ALL = b"\xff" * 17

_FIND_STREAM = (
    "SELECT number FROM stream WHERE kind = ? AND outcome = ?"
    " AND model IS ? AND version IS ? AND lane IS ?"
)
_ADD_STREAM = (
    "INSERT INTO stream (kind, outcome, model, version, lane) VALUES (?, ?, ?, ?, ?)"
    " RETURNING number"
)
_ADD_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)"
_NEWEST = "SELECT id FROM record WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
_NEWEST_OF_STREAM = (
    "SELECT id FROM record INDEXED BY {index}"
    " WHERE {own} stream = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
)
_ENDS = (
    "SELECT number, (SELECT id FROM record INDEXED BY {index}"
    " WHERE {own} stream = number AND id < ? AND id >= ? ORDER BY id DESC LIMIT 1)"
    " FROM stream WHERE {chosen}"
)

Streams = dict[Row, int]


class _Bounds(Struct, frozen=True):
    """Ids that a query may return: `low` <= id < `high`."""

    low: bytes
    high: bytes


def add_records(
    connection: apsw.Connection, first: int, leaves: Iterable[bytes], streams: Streams
) -> None:
    """Give each leaf the next index from `first` on, and count it.

    The connection must hold the write lock. `streams` has numbers that are known already, and gets
    those that were met: they hold once the transaction is committed.
    """
    rows: list[Row] = []
    headings: list[Heading] = []
    for index, leaf in enumerate(leaves, first):
        one = read_heading(leaf)
        key = (one.kind, one.outcome, one.model, one.version, one.lane)
        stream = streams.get(key)
        if stream is None:
            stream = streams[key] = _stream(connection, key)
        record_id = bytes.fromhex(one.id.replace("-", ""))
        rows.append((index, record_id, stream, one.principal, one.request_id, leaf))
        headings.append(one)
    connection.executemany(_ADD_RECORD, rows)
    tallies.add(connection, headings)


def add_kept(connection: apsw.Connection) -> None:
    """Add the leaves that the step from format 2 kept, at their indexes."""
    streams: Streams = {}
    kept = connection.cursor().execute("SELECT idx, leaf FROM kept ORDER BY idx")
    while chunk := list(islice(kept, _CHUNK_OF_KEPT)):
        add_records(connection, chunk[0][0], (leaf for _, leaf in chunk), streams)
    connection.execute("DROP TABLE kept")


def find_records(
    ask: Ask, wanted: RecordFilter, before: str | None, limit: int
) -> list[tuple[int, bytes]]:
    """Return (index, leaf) of the newest records that a filter accepts, with ids below `before`.

    Raises InvalidRequest where `before` is no record id.
    """
    found: list[tuple[int, bytes]] = []
    for record_id in _newest(ask, wanted, _bounds(wanted, before)):
        if len(found) >= limit:
            break
        [(index, leaf)] = ask("SELECT idx, leaf FROM record WHERE id = ?", (record_id,))
        if _is_in_time(wanted, leaf):
            found.append((index, leaf))
    return found


def _stream(connection: apsw.Connection, key: Row) -> int:
    found = connection.execute(_FIND_STREAM, key).fetchone()
    (number,) = found or next(connection.execute(_ADD_STREAM, key))
    return int(number)


def _newest(ask: Ask, wanted: RecordFilter, bounds: _Bounds) -> Iterator[bytes]:
    """Yield the ids of records that fit, newest first; a time is met to the millisecond."""
    chosen, of_stream = _equal({name: getattr(wanted, name) for name in _OF_STREAM})
    own, of_record = _equal({"request_id": wanted.request_id, "principal": wanted.principal})
    if not of_stream and not of_record:
        return _run(ask, _NEWEST, (), bounds)
    index = "record_stream" if wanted.principal is None else "record_principal"
    index = index if wanted.request_id is None else "record_request"
    ends = ask(
        _ENDS.format(index=index, own=own, chosen=f"{chosen} TRUE"),
        (*of_record, bounds.high, bounds.low, *of_stream),
    )
    query = _NEWEST_OF_STREAM.format(index=index, own=own)
    return heapq.merge(
        *(
            chain((end,), _run(ask, query, (*of_record, stream), _Bounds(bounds.low, end)))
            for stream, end in ends
            if end is not None
        ),
        reverse=True,
    )


def _run(ask: Ask, query: str, of: Sequence[Any], bounds: _Bounds) -> Iterator[bytes]:
    """Yield the ids of one range of an index, newest first, read in chunks."""
    high, size = bounds.high, _FIRST_CHUNK
    while True:
        chunk = ask(query, (*of, high, bounds.low, size))
        for (high,) in chunk:
            yield high
        if len(chunk) < size:
            return
        size = min(size * 4, _LARGEST_CHUNK)


def _equal(wanted: dict[str, Any]) -> tuple[str, list[Any]]:
    """Write the conditions of a query that columns equal what is wanted, and their values."""
    given = {name: value for name, value in wanted.items() if value is not None}
    return "".join(f"{name} = ? AND " for name in given), [
        _in_64_bits(value) if isinstance(value, int) else str(value) for value in given.values()
    ]


def _bounds(wanted: RecordFilter, before: str | None) -> _Bounds:
    """Bound the ids by the times of a filter, to the millisecond: an id begins with its time."""
    low = b"" if wanted.since is None else _first_id(to_us(wanted.since) // 1000)
    high = _BEHIND_ALL if wanted.until is None else _first_id(-(-to_us(wanted.until) // 1000))
    if before is not None:
        cursor = id_bytes(before)
        if cursor is None:
            raise InvalidRequest("cursor", "This cursor was not given by a query.")
        high = min(high, cursor)
    return _Bounds(low, high)


def _first_id(milliseconds: int) -> bytes:
    return max(0, milliseconds).to_bytes(6) + bytes(10)


def _is_in_time(wanted: RecordFilter, leaf: bytes) -> bool:
    """Say of a record within the bounds whether it is in time to the microsecond, too."""
    since, until = wanted.since, wanted.until
    if since is None and until is None:
        return True
    time_ns = int(read_heading(leaf).time)
    return (since is None or time_ns >= to_us(since) * 1000) and (
        until is None or time_ns < to_us(until) * 1000
    )


def _in_64_bits(number: int) -> int:
    """Return the nearest number that the database can compare; what it holds is far from both ends.

    >>> _in_64_bits(2**64) == 2**63 - 1
    True
    """
    return max(-(2**63), min(number, 2**63 - 1))
