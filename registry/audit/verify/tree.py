"""The tree of a log, built anew from the hashes of its records, beside the tiles that are kept."""

from collections.abc import Callable, Sequence

from registry.audit.verify.faults import Misfit
from registry.audit.verify.tiles import WIDTH, fold, root_of, split_hashes

# Returns the bytes of a tile: level, number, width.
ReadTile = Callable[[int, int, int], bytes]


class Tree:
    """Takes the records' hashes a tile at a time, and holds each tile above to them.

    Of every level only the last tile is held: what is computed, and what is kept.
    """

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        self._size = size
        self._read_tile = read_tile
        self._computed: list[list[bytes]] = [[]]
        self._kept: list[list[bytes]] = [[]]
        self._number = 0

    def tile(self, level: int, number: int) -> list[bytes]:
        """Return the hashes of a kept tile. Raises Malformed where it has not the width it must."""
        width = min(WIDTH, (self._size >> 8 * level) - WIDTH * number)
        found = self._read_tile(level, number, width)
        return split_hashes(found, width, f"tile {number} of level {level}")

    def root_with(self, hashes: Sequence[bytes]) -> bytes:
        """Return the root as it was when the tile at hand had just these records."""
        return root_of([hashes, *self._computed[1:]])

    def add(self, hashes: list[bytes]) -> None:
        """Go on to the next tile of records. Raises Misfit and Malformed."""
        if len(hashes) == WIDTH:
            self._raise(1, fold(hashes))
            self._number += 1

    def _raise(self, level: int, node: bytes) -> None:
        """Put the node over a full tile where it belongs, a level above."""
        if level == len(self._computed):
            self._computed.append([])
            self._kept.append([])
        computed = self._computed[level]
        if not computed:
            self._kept[level] = self.tile(level, self._number >> 8 * level)
        if self._kept[level][len(computed)] != node:
            below, span = self._number >> 8 * (level - 1), WIDTH**level
            raise Misfit(
                f"Tile {below} of level {level - 1} does not have the hash that the tile above has"
                " of it.",
                first=below * span,
                last=(below + 1) * span - 1,
            )
        computed.append(node)
        if len(computed) == WIDTH:
            self._computed[level] = []
            self._raise(level + 1, fold(computed))
