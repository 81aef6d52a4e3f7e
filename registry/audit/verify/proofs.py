"""Hashes of RFC 6962, section 2.1, and the checks of RFC 9162 on proofs.

The checks walk a proof from the leaf upwards and never build a tree, unlike the writer, which
takes a tree apart from the root down.
"""

from collections.abc import Sequence
from hashlib import sha256

from registry.audit.verify.faults import Mismatch

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def hash_leaf(leaf: bytes) -> bytes:
    """Hash the exact bytes of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def hash_pair(left: bytes, right: bytes) -> bytes:
    """Hash two neighbouring nodes into the one above them."""
    return sha256(b"\x01" + left + right).digest()


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf of this hash is number `index` of the tree (RFC 9162, 2.1.3.2).

    Size and root must be taken from a signed checkpoint: without it, one path can serve for trees
    of several sizes. Raises Mismatch.
    """
    if not 0 <= index < size:
        raise Mismatch(f"Index {index} is not in a log of {size} records.")
    here, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Mismatch("The inclusion proof is too long.")
        if here % 2 or here == last:
            found = hash_pair(sibling, found)
            while here and not here % 2:
                here, last = here >> 1, last >> 1
        else:
            found = hash_pair(found, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise Mismatch("The inclusion proof is too short.")
    if found != root:
        raise Mismatch("The inclusion proof does not lead from the record to the root.")


def check_consistency(
    old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the newer tree begins with the older one (RFC 9162, 2.1.4.2).

    Of equal sizes, and of the empty tree, the proof is empty. Raises Mismatch.
    """
    if not 0 <= old_size <= new_size:
        raise Mismatch(f"A log of {new_size} records does not continue one of {old_size}.")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise Mismatch("The log of no records has another root than the empty one.")
    if old_size not in {0, new_size}:
        _walk_consistency(old_size, new_size, path, old_root, new_root)
    elif path:
        raise Mismatch("The consistency proof is too long.")
    elif old_size == new_size and old_root != new_root:
        raise Mismatch(f"Two roots are claimed of the log of {old_size} records.")


def _walk_consistency(
    old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    # Where the old tree is a whole subtree of the new one, the proof leaves out its root.
    nodes = list(path) if old_size & (old_size - 1) else [old_root, *path]
    if not path:
        raise Mismatch("The consistency proof is empty.")
    whole = (old_size & -old_size).bit_length() - 1
    here, last = (old_size - 1) >> whole, (new_size - 1) >> whole
    old_found = new_found = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise Mismatch("The consistency proof is too long.")
        if here % 2 or here == last:
            old_found = hash_pair(sibling, old_found)
            new_found = hash_pair(sibling, new_found)
            while here and not here % 2:
                here, last = here >> 1, last >> 1
        else:
            new_found = hash_pair(new_found, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise Mismatch("The consistency proof is too short.")
    if old_found != old_root or new_found != new_root:
        raise Mismatch("The consistency proof does not lead to both roots.")
