"""Tiles of every level are held to the records below, in a log too large to write for a test."""

import random

import pytest

from registry.audit.verify.faults import Malformed, Misfit
from registry.audit.verify.tree import Tree
from registry.tlog.tiles import Frontier, TileNodes
from registry.tlog.tree import root_hash

SIZE = 256 * 256 * 2 + 256 * 3 + 5
Tiles = dict[tuple[int, int], bytes]


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    """All tiles of a log of 131,845 records, by level and number."""
    rng = random.Random(1)
    frontier, full = Frontier().extend([rng.randbytes(32) for _ in range(SIZE)])
    found = {(tile.level, tile.number): tile.hashes for tile in full}
    return found | {
        (level, SIZE >> 8 * (level + 1)): partial
        for level, partial in enumerate(frontier.partial)
        if partial
    }


def walk(tiles: Tiles, changed: tuple[int, int] | None = None, place: int = 0) -> bytes:
    """Build the tree beside its tiles, one of which is another than the records say."""

    def read(level: int, number: int, width: int) -> bytes:
        found = tiles[level, number]
        if (level, number) == changed:
            found = found[:place] + bytes([found[place] ^ 1]) + found[place + 1 :]
        return found

    tree = Tree(SIZE, read)
    hashes: list[bytes] = []
    for number in range(-(-SIZE // 256)):
        hashes = [tiles[0, number][at : at + 32] for at in range(0, len(tiles[0, number]), 32)]
        tree.add(hashes)
    return tree.root_with(hashes)


def test_the_root_over_three_levels_is_the_writers(tiles: Tiles) -> None:
    assert max(level for level, _ in tiles) == 2
    nodes = TileNodes(lambda level, number: tiles.get((level, number), b""))
    assert walk(tiles) == root_hash(SIZE, nodes)


@pytest.mark.parametrize(
    ("tile", "place", "first", "last"),
    [
        ((1, 0), 0, 0, 255),
        ((1, 1), 32 * 7 + 31, 65_536 + 7 * 256, 65_536 + 8 * 256 - 1),
        ((1, 2), 32 * 2, 131_072 + 512, 131_072 + 767),
        ((2, 0), 5, 0, 65_535),
        ((2, 0), 40, 65_536, 131_071),
    ],
)
def test_a_tile_that_does_not_fit_names_the_records_below(
    tiles: Tiles, tile: tuple[int, int], place: int, first: int, last: int
) -> None:
    with pytest.raises(Misfit) as caught:
        walk(tiles, tile, place)
    assert (caught.value.fault.first, caught.value.fault.last) == (first, last)


def test_a_tile_of_another_width_is_refused(tiles: Tiles) -> None:
    short = tiles | {(1, 2): tiles[1, 2][:-32]}
    with pytest.raises(Malformed, match="tile 2 of level 1"):
        walk(short)
