"""Tiles hold the tree as C2SP tlog-tiles lays it out, however it grew."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from registry.entry import MAX_LEAF, encode_record
from registry.records import AuditRecord, Kind, Outcome
from registry.tlog.tiles import (
    WIDTH,
    Frontier,
    TileName,
    TileNodes,
    names_of,
    tile_path,
    write_bundle,
)
from registry.tlog.tree import HASH_SIZE, fold, leaf_hash, root_hash


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def grow(steps: list[int]) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    frontier, tiles, all_hashes = Frontier(), {}, hashes(sum(steps))
    for step in steps:
        coming = all_hashes[frontier.size : frontier.size + step]
        frontier, full = frontier.extend(coming)
        for tile in full:
            assert (tile.level, tile.number) not in tiles  # full once, and never again
            tiles[tile.level, tile.number] = tile.hashes
    return frontier, tiles


@given(st.lists(st.integers(0, 700), max_size=6))
def test_the_tree_is_the_same_however_it_grew(steps: list[int]) -> None:
    assert grow(steps) == grow([sum(steps)])


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    frontier, tiles = grow([70_000])
    assert sum(level == 0 for level, _ in tiles) == 273
    assert [place for place in tiles if place[0] == 1] == [(1, 0)]
    assert [len(one) // HASH_SIZE for one in frontier.partial] == [112, 17, 1]
    assert names_of(70_000)[-1] == TileName(273, 112)
    assert names_of(70_000, 1) == [TileName(0), TileName(1, 17)]
    assert names_of(70_000, 2) == [TileName(0, 1)]
    # Each hash of a level is the tree over a full tile of the level below.
    assert frontier.tile(1, 1)[:HASH_SIZE] == fold(tiles[0, 256])
    nodes = TileNodes(lambda *place: tiles.get(place) or frontier.tile(*place))
    assert nodes(8, 256) == fold(tiles[0, 256])
    assert frontier.tile(2, 0) == fold(tiles[1, 0]) == nodes(16, 0)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537])
def test_a_frontier_that_was_written_goes_on_as_it_was(size: int) -> None:
    frontier, _ = grow([size])
    again = Frontier.unpack(size, frontier.pack())
    assert again == frontier
    more = hashes(300)
    assert again.extend(more) == frontier.extend(more)


def test_partial_tiles_are_the_beginnings_of_full_ones() -> None:
    early, _ = grow([300])
    _, tiles = grow([600])
    assert tiles[0, 1].startswith(early.tile(0, 1))
    assert early.tile(0, 0) == b""  # it is full, so it is no part of the frontier
    assert early.tile(0, 2) == early.tile(5, 0) == b""


def test_each_number_has_one_path() -> None:
    chosen = random.Random(4)
    for number in [0, 7, 999, 1000, 1234067, *(chosen.randrange(10**12) for _ in range(200))]:
        for width in (1, 112, 255, WIDTH):
            name = TileName(number, width)
            assert TileName.read(name.path()) == name
    assert tile_path(1, TileName(1234067)) == "tile/1/x001/x234/067"
    assert tile_path(0, TileName(7, 12)) == "tile/0/007.p/12"


@pytest.mark.parametrize(
    "path",
    [
        *("1", "0001", "x001", "x000/001", "x000/x001/067", "001/067", "001.p/0", "001.p/01"),
        *("001.p/256", "001.p/999", "001.p", "001/", "/001", "..", "", "٠٠١", "001\n"),
    ],
)
def test_other_paths_name_no_tile(path: str) -> None:
    assert TileName.read(path) is None


def test_a_bundle_has_each_entry_behind_its_length() -> None:
    assert write_bundle([b"", b"ab", b"c" * 300]) == b"\0\0\0\2ab\x01\x2c" + b"c" * 300
    frontier, _ = Frontier().extend([leaf_hash(b"ab")])
    nodes = TileNodes(frontier.tile)
    assert root_hash(1, nodes) == leaf_hash(b"ab")


def test_the_longest_leaf_is_the_longest_entry_of_a_bundle() -> None:
    record = AuditRecord(id="", kind=Kind.ADMIN, time="", outcome=Outcome.DONE, reason="")
    room = MAX_LEAF - len(encode_record(replace(record, reason="x"))) + 1
    longest = encode_record(replace(record, reason="x" * room))

    assert write_bundle([longest]) == b"\xff\xff" + longest
    with pytest.raises(ValueError, match="65536 bytes"):
        encode_record(replace(record, reason="x" * (room + 1)))
