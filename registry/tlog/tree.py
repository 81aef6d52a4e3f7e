"""The Merkle tree of RFC 6962, section 2.1: hashes, roots and proofs, over nodes that others keep.

A node is named by its level and index: node (k, i) is the hash over the leaves from i * 2**k up to
(i + 1) * 2**k. Whoever asks for a root or a proof says where nodes come from.
"""

from collections.abc import Callable
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256().digest()

# Returns the hash of the node at (level, index), of which all leaves are in the tree.
Nodes = Callable[[int, int], bytes]

_LEAF = b"\x00"
_NODE = b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    """Hash the bytes of a leaf.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return sha256(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two nodes into the one above them."""
    return sha256(_NODE + left + right).digest()


def fold(hashes: bytes) -> bytes:
    """Hash 2**k concatenated nodes of one level into the one node above them all."""
    while len(hashes) > HASH_SIZE:
        hashes = b"".join(
            [
                sha256(_NODE + hashes[at : at + 2 * HASH_SIZE]).digest()
                for at in range(0, len(hashes), 2 * HASH_SIZE)
            ]
        )
    return hashes


def root_hash(size: int, nodes: Nodes) -> bytes:
    """Return the root of the tree over the first `size` leaves."""
    return _subtree(0, size, nodes) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size` leaves, from its sibling up to the root.

    Raises ValueError where no such leaf is.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} is in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Prove that the tree of `new` leaves begins with the tree of `old`; empty where `old` is 0.

    Raises ValueError where `new` is the smaller one.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not begin with one of {old}")
    if old in {0, new}:
        return []
    path: list[bytes] = []
    start, end = 0, new
    # A verifier knows the root of the old tree, and needs it only where it is no node of the new.
    while end > old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree(start, middle, nodes))
            start = middle
    if start:
        path.append(_subtree(start, end, nodes))
    return path[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(start: int, end: int, nodes: Nodes) -> bytes:
    """Hash the leaves from `start` to `end`, where `start` is a multiple of a full tree's size."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + _split(size)
    return node_hash(_subtree(start, middle, nodes), _subtree(middle, end, nodes))
