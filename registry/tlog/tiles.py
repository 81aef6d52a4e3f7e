"""Tiles: the tree as files of 256 hashes, and the entries as bundles of 256 (C2SP tlog-tiles).

Tile (l, n) has the nodes from n * 256 up to (n + 1) * 256 of the tree's level 8 * l. The tiles at
the right edge are partial until as many leaves are there; all others never change.
"""

import re
import struct
from collections.abc import Callable, Sequence

from msgspec import Struct

from registry.tlog.tree import HASH_SIZE, fold

WIDTH = 256
MAX_LEVEL = 63

# Returns the hashes that tile (level, number) has so far; none where there is no such tile.
Tiles = Callable[[int, int], bytes]

_HEIGHT = 8  # levels of the tree in one of tiles
_TILE_SIZE = WIDTH * HASH_SIZE
_LENGTH = struct.Struct(">H")
_NUMBER = re.compile(r"((?:x\d{3}/)*)(\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class Tile(Struct, frozen=True):
    """A full tile: its place, and its 256 hashes."""

    level: int
    number: int
    hashes: bytes


class Frontier(Struct, frozen=True):
    """All that is needed to go on: the size of the tree, and the partial tile of each level."""

    size: int = 0
    partial: tuple[bytes, ...] = ()

    def extend(self, hashes: Sequence[bytes]) -> "tuple[Frontier, list[Tile]]":
        """Append leaf hashes; return the new frontier and the tiles that became full."""
        full: list[Tile] = []
        partial: list[bytes] = []
        coming = b"".join(hashes)
        level = 0
        while coming or level < len(self.partial):
            known = self.partial[level] + coming if level < len(self.partial) else coming
            first = self.size >> _HEIGHT * (level + 1)
            tiles = [
                Tile(level, first + number, known[at : at + _TILE_SIZE])
                for number, at in enumerate(range(0, len(known) - _TILE_SIZE + 1, _TILE_SIZE))
            ]
            full += tiles
            partial.append(known[len(tiles) * _TILE_SIZE :])
            coming = b"".join([fold(tile.hashes) for tile in tiles])
            level += 1
        return Frontier(self.size + len(hashes), tuple(partial)), full

    def tile(self, level: int, number: int) -> bytes:
        """Return the hashes of a partial tile; none where the tile is full or not begun."""
        if level < len(self.partial) and number == self.size >> _HEIGHT * (level + 1):
            return self.partial[level]
        return b""

    def pack(self) -> bytes:
        """Write the partial tiles, lowest level first; their widths follow from the size."""
        return b"".join(self.partial)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """Read what `pack` wrote of a tree of this size."""
        partial: list[bytes] = []
        at = level = 0
        while size >> _HEIGHT * level:
            end = at + HASH_SIZE * ((size >> _HEIGHT * level) % WIDTH)
            partial.append(packed[at:end])
            at, level = end, level + 1
        return cls(size, tuple(partial))


class TileNodes:
    """Nodes of the tree, computed from tiles; each tile is asked for once."""

    def __init__(self, tiles: Tiles) -> None:
        self._tiles = tiles
        self._known: dict[tuple[int, int], bytes] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return node (level, index). Raises ValueError where the tiles do not have it."""
        height = level % _HEIGHT
        first = index << height  # of the hashes below the node, in its level of tiles
        place = level // _HEIGHT, first // WIDTH
        if place not in self._known:
            self._known[place] = self._tiles(*place)
        at = first % WIDTH * HASH_SIZE
        hashes = self._known[place][at : at + (HASH_SIZE << height)]
        if len(hashes) < HASH_SIZE << height:
            raise ValueError(f"no tile has node {index} of level {level}")
        return fold(hashes)


class TileName(Struct, frozen=True):
    """The place of a tile or bundle within its level, and how many hashes or entries it has.

    >>> TileName(1234067).path(), TileName(273, width=112).path()
    ('x001/x234/067', '273.p/112')
    """

    number: int
    width: int = WIDTH

    def path(self) -> str:
        """Write the name as the end of a path."""
        parts = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            parts.append(f"x{rest % 1000:03}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return "/".join(reversed(parts)) + partial

    @classmethod
    def read(cls, path: str) -> "TileName | None":
        """Read a name; None where it is not written as `path` writes it.

        >>> TileName.read("x001/x234/067.p/8")
        TileName(number=1234067, width=8)
        """
        found = _NUMBER.fullmatch(path)
        if found is None:
            return None
        digits = found[1].replace("x", "").replace("/", "") + found[2]
        name = cls(int(digits), int(found[3] or WIDTH))
        return name if name.width <= WIDTH and name.path() == path else None


def tile_path(level: int, name: TileName) -> str:
    """Return the path of a hash tile, relative to the log.

    >>> tile_path(0, TileName(5))
    'tile/0/005'
    """
    return f"tile/{level}/{name.path()}"


def bundle_path(name: TileName) -> str:
    """Return the path of an entry bundle, relative to the log.

    >>> bundle_path(TileName(5, width=3))
    'tile/entries/005.p/3'
    """
    return f"tile/entries/{name.path()}"


def names_of(size: int, level: int = 0) -> list[TileName]:
    """Name the tiles of one level that a tree of this size has, the partial one last.

    >>> names_of(257)
    [TileName(number=0, width=256), TileName(number=1, width=1)]
    """
    number, width = divmod(size >> _HEIGHT * level, WIDTH)
    names = [TileName(one) for one in range(number)]
    return [*names, TileName(number, width)] if width else names


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries as a bundle: each with its length before it, in two bytes, big-endian."""
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)
