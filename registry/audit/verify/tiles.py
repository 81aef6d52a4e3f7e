"""Tiles and entry bundles (C2SP tlog-tiles): where a tree of a size has them, and what they hold.

Tile `number` of level `l` holds up to 256 hashes, each over 256**l records. Bundle `number` holds
the records under tile `number` of level 0.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from registry.audit.verify.faults import Malformed
from registry.audit.verify.proofs import EMPTY_ROOT, HASH_SIZE, hash_pair

WIDTH = 256
_LENGTH_SIZE = 2


def tile_path(level: int, number: int, width: int) -> str:
    """Name a tile's file.

    >>> tile_path(0, 1234067, 256)
    'tile/0/x001/x234/067'
    """
    return f"tile/{level}/{_number_path(number, width)}"


def bundle_path(number: int, width: int) -> str:
    """Name a bundle's file.

    >>> bundle_path(3, 17)
    'tile/entries/003.p/17'
    """
    return f"tile/entries/{_number_path(number, width)}"


def level_count(size: int) -> int:
    """Say how many levels of tiles a tree of this size has.

    >>> level_count(255), level_count(256), level_count(65_536)
    (1, 2, 3)
    """
    levels = 0
    while size:
        size //= WIDTH
        levels += 1
    return levels


def split_hashes(tile: bytes, width: int, what: str) -> list[bytes]:
    """Return the hashes of a tile. Raises Malformed where it has not as many as it must."""
    if len(tile) != width * HASH_SIZE:
        raise Malformed(what, f"has {len(tile)} bytes instead of {width * HASH_SIZE}")
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]


def split_bundle(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle, as many as it holds; one that is cut short comes so.

    Whether they are the right ones, their hashes say.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        start = at + _LENGTH_SIZE
        at = start + int.from_bytes(bundle[at:start], "big")
        entries.append(bundle[start:at])
    return entries


def fold(hashes: Sequence[bytes]) -> bytes:
    """Hash 256 neighbours into the one node above them all."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


def root_of(edge: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root of a tree from its right edge: the hashes of each level's last tile.

    `edge[l]` has those that are not folded into level `l + 1`, as a tree of that size has them.
    """
    found: bytes | None = None
    for hashes in edge:
        for peak in _peaks(hashes):
            found = peak if found is None else hash_pair(peak, found)
    return EMPTY_ROOT if found is None else found


def _peaks(hashes: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the roots of the whole subtrees that the hashes are made of, the smallest first."""
    end = len(hashes)
    while end:
        size = end & -end
        yield fold(hashes[end - size : end])
        end -= size


def _number_path(number: int, width: int) -> str:
    digits = f"{number:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"
