"""Roots and proofs are those of RFC 6962, by its own definition and by published values."""

import random
from hashlib import sha256

import pytest

from registry.tlog.tiles import Frontier, TileNodes
from registry.tlog.tree import (
    EMPTY_ROOT,
    Nodes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_hash,
)

# The leaves and roots that the Certificate Transparency project tests its own trees with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = split(len(leaves))
    return node_hash(defined_root(leaves[:k]), defined_root(leaves[k:]))


def defined_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*defined_path(m, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(m - k, leaves[k:]), defined_root(leaves[:k])]


def defined_subproof(m: int, leaves: list[bytes], *, is_known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if m == len(leaves):
        return [] if is_known else [defined_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*defined_subproof(m, leaves[:k], is_known=is_known), defined_root(leaves[k:])]
    return [*defined_subproof(m - k, leaves[k:], is_known=False), defined_root(leaves[:k])]


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def nodes_over(leaves: list[bytes]) -> Nodes:
    frontier, full = Frontier().extend([leaf_hash(leaf) for leaf in leaves])
    tiles = {(tile.level, tile.number): tile.hashes for tile in full}
    return TileNodes(lambda *place: tiles.get(place) or frontier.tile(*place))


def test_the_roots_are_those_that_are_published() -> None:
    for size in range(1, 9):
        leaves = LEAVES[:size]
        assert root_hash(size, nodes_over(leaves)).hex() == ROOTS[size - 1]
        assert defined_root(leaves).hex() == ROOTS[size - 1]
    assert root_hash(0, nodes_over([])) == EMPTY_ROOT == defined_root([])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 255, 256, 257, 700])
def test_proofs_are_those_that_the_standard_defines(size: int) -> None:
    leaves = [b"%d" % number for number in range(size)]
    nodes = nodes_over(leaves)
    picks = random.Random(size)
    for index in {0, size - 1, *(picks.randrange(size) for _ in range(12))}:
        assert inclusion_proof(index, size, nodes) == defined_path(index, leaves)
    for old in {1, size, *(picks.randrange(1, size + 1) for _ in range(12))}:
        assert consistency_proof(old, size, nodes) == defined_subproof(old, leaves, is_known=True)


def test_every_earlier_tree_can_still_be_proved() -> None:
    leaves = [b"%d" % number for number in range(40)]
    nodes = nodes_over(leaves)
    for new in range(1, 41):
        assert root_hash(new, nodes) == defined_root(leaves[:new])
        for old in range(1, new + 1):
            expected = defined_subproof(old, leaves[:new], is_known=True)
            assert consistency_proof(old, new, nodes) == expected
        assert consistency_proof(0, new, nodes) == []


def test_what_is_not_in_the_tree_has_no_proof() -> None:
    nodes = nodes_over(LEAVES)
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(index, size, nodes)
    with pytest.raises(ValueError, match="does not begin"):
        consistency_proof(5, 4, nodes)
    with pytest.raises(ValueError, match="no tile"):
        inclusion_proof(0, 9, nodes)
