"""The tree, its checkpoints and its names, in SQL; the order of columns is that of `schema.sql`.

Each function is given `ask`, which runs one statement in the transaction that is open.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import apsw

from registry.errors import Conflict
from registry.records import Origin, SignedCheckpoint
from registry.stores.rows import Row
from registry.times import from_us, to_us
from registry.tlog.tiles import Frontier, TileNodes
from registry.tlog.tree import leaf_hash, root_hash

Ask = Callable[..., Sequence[Row]]

_MIGRATED_AT_ONCE = 50_000
_HOUR_US = 3_600_000_000
_CHECKPOINT = "SELECT size, root, note, signed FROM checkpoint"
_TILE = """
    SELECT (SELECT hashes FROM tile WHERE level = ? AND number = ?), size, frontier FROM tree
"""
# Kept for good: the last checkpoint of each hour, and the first that covers each name or key, which
# the key before it signed as well.
_THIN = """
    DELETE FROM checkpoint WHERE signed < ?
    AND size NOT IN (SELECT max(size) FROM checkpoint GROUP BY signed / 3600000000)
    AND size NOT IN (
        SELECT min(checkpoint.size) FROM origin JOIN checkpoint ON checkpoint.size > origin.since
        GROUP BY origin.sequence
    )
"""


def size(ask: Ask) -> int:
    """Return how many leaves the tree has, which is the index of the next."""
    [(found,)] = ask("SELECT size FROM tree")
    return int(found)


def extend(ask: Ask, leaves: Sequence[bytes]) -> int:
    """Append leaves to the tree and return the index of the first."""
    frontier = _frontier(ask)
    extended, tiles = frontier.extend([leaf_hash(leaf) for leaf in leaves])
    for tile in tiles:
        ask("INSERT INTO tile VALUES (?, ?, ?)", (tile.level, tile.number, tile.hashes))
    ask("UPDATE tree SET size = ?, frontier = ?", (extended.size, extended.pack()))
    return frontier.size


def tile(ask: Ask, level: int, number: int) -> bytes:
    """Return the hashes that a tile has so far, full or partial; none where it has not begun."""
    # One statement, since a tile may become full between two.
    [(full, of_size, packed)] = ask(_TILE, (level, number))
    return full or Frontier.unpack(of_size, packed).tile(level, number)


def leaves(ask: Ask, start: int, end: int) -> list[bytes]:
    """Return the leaves from `start` up to `end`, as far as they are there."""
    query = "SELECT leaf FROM record WHERE idx >= ? AND idx < ? ORDER BY idx"
    return [leaf for (leaf,) in ask(query, (start, end))]


def checkpoint(ask: Ask) -> SignedCheckpoint | None:
    """Return what was signed last."""
    found = ask(f"{_CHECKPOINT} ORDER BY size DESC LIMIT 1")
    return _to_checkpoint(found[0]) if found else None


def checkpoints(ask: Ask) -> list[SignedCheckpoint]:
    """Return what was signed and is kept, oldest first."""
    return [_to_checkpoint(row) for row in ask(f"{_CHECKPOINT} ORDER BY size")]


def add_checkpoint(ask: Ask, signed: SignedCheckpoint) -> None:
    """Keep what was signed. Raises Conflict where it is not the tree, or not what was signed grown.

    Of the checkpoints before the last hour only one for each hour is kept.
    """
    last = checkpoint(ask)
    nodes = TileNodes(lambda level, number: tile(ask, level, number))
    if signed.size != size(ask) or root_hash(signed.size, nodes) != signed.root:
        raise Conflict("The checkpoint is not that of the stored tree.")
    if last is not None and root_hash(last.size, nodes) != last.root:
        raise Conflict(f"The stored tree does not extend what was signed at size {last.size}.")
    at = to_us(signed.signed)
    if last is not None and to_us(last.signed) // _HOUR_US != at // _HOUR_US:
        ask(_THIN, (at - _HOUR_US,))
    row = (signed.size, signed.root, signed.note, at)
    ask("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", row)


def amend_checkpoint(ask: Ask, of_size: int, note: str) -> None:
    """Keep a note with more signatures in place of the one before; nothing happens without one."""
    ask("UPDATE checkpoint SET note = ? WHERE size = ?", (note, of_size))


def origins(ask: Ask) -> list[Origin]:
    """Return the names and keys of the log, oldest first."""
    found = ask("SELECT name, vkey, since, at FROM origin ORDER BY sequence")
    return [
        Origin(name=name, vkey=vkey, since=since, at=from_us(at)) for name, vkey, since, at in found
    ]


def add_origin(ask: Ask, origin: Origin) -> None:
    """Let the log have another name or key from now on."""
    row = (origin.name, origin.vkey, origin.since, to_us(origin.at))
    ask("INSERT INTO origin (name, vkey, since, at) VALUES (?, ?, ?, ?)", row)


def hash_leaves(connection: apsw.Connection) -> None:
    """Make the tree over the leaves that a store of an older format has."""

    def ask(query: str, values: Sequence[Any] = ()) -> list[Row]:
        return connection.execute(query, values).fetchall()

    found: Iterable[Row] = connection.execute("SELECT leaf FROM record ORDER BY idx")
    while batch := [leaf for (leaf,) in islice(found, _MIGRATED_AT_ONCE)]:
        extend(ask, batch)


def _frontier(ask: Ask) -> Frontier:
    [(found, packed)] = ask("SELECT size, frontier FROM tree")
    return Frontier.unpack(found, packed)


def _to_checkpoint(row: Row) -> SignedCheckpoint:
    of_size, root, note, signed = row
    return SignedCheckpoint(size=of_size, root=root, note=note, signed=from_us(signed))
