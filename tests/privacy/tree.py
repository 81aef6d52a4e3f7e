"""The tree over leaves, written down from RFC 6962, section 2.1, to hold the store to."""

from collections.abc import Sequence
from hashlib import sha256

from registry.reader import Reader
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a tree over leaves."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def stored_root(view: Reader, size: int) -> bytes:
    """Return the root that the stored tiles have at a size."""
    return root_hash(size, TileNodes(view.tile))
