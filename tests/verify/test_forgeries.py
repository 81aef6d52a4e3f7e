"""No forged proof, receipt or checkpoint is accepted.

A forgery is an input that differs from a true one in what it says. For proofs alone, sizes and
indexes that lead through the very same steps say the same: which sizes are meant, the signed
checkpoint binds, and that is tried with receipts.
"""

import base64
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.audit.verify.checkpoints import Trust
from registry.audit.verify.faults import Invalid
from registry.audit.verify.notes import read_vkey
from registry.audit.verify.proofs import check_consistency, check_inclusion, hash_leaf, hash_pair
from registry.audit.verify.receipts import check_receipt, read_receipt
from registry.tlog.note import Checkpoint, write_proof
from registry.tlog.signing import sign_note
from registry.tlog.tiles import Frontier, TileNodes
from registry.tlog.tree import consistency_proof, inclusion_proof, root_hash
from tests.verify.logs import ORIGIN, OTHER, SIGNER, VKEY

PER_EXAMPLE = 100
LEAVES = [b"leaf %d" % number for number in range(1500)]
TRUST = Trust(keys=(read_vkey(VKEY),))

Proof = tuple[bytes, int, int, tuple[bytes, ...], bytes]  # leaf hash, index, size, path, root
Growth = tuple[int, int, tuple[bytes, ...], bytes, bytes]  # sizes, path, roots


def make_nodes() -> TileNodes:
    frontier, tiles = Frontier().extend([hash_leaf(leaf) for leaf in LEAVES])
    kept = {(tile.level, tile.number): tile.hashes for tile in tiles}
    return TileNodes(
        lambda level, number: kept.get((level, number)) or frontier.tile(level, number)
    )


NODES = make_nodes()


def split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_steps(index: int, size: int) -> tuple[str, ...]:
    """PATH of RFC 6962, 2.1.1: on which side each hash of the proof is."""
    if size <= 1:
        return ()
    left = split(size)
    if index < left:
        return (*inclusion_steps(index, left), "right")
    return (*inclusion_steps(index - left, size - left), "left")


def growth_steps(old: int, new: int, *, is_whole: bool = True) -> tuple[str, ...]:
    """SUBPROOF of RFC 6962, 2.1.2, in the same way."""
    if old == new:
        return ("old root",) if is_whole else ("given",)
    left = split(new)
    if old <= left:
        return (*growth_steps(old, left, is_whole=is_whole), "right")
    return (*growth_steps(old - left, new - left, is_whole=False), "left")


def other_hash(rng: random.Random, value: bytes) -> bytes:
    if rng.randrange(2):
        return rng.randbytes(32)
    place = rng.randrange(32)
    return value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]


def other_path(rng: random.Random, path: Sequence[bytes]) -> tuple[bytes, ...]:
    hashes = list(path)
    kind = rng.randrange(6)
    if kind == 0 or not hashes:
        hashes.insert(rng.randint(0, len(hashes)), rng.randbytes(32))
    elif kind == 1:
        hashes.pop(rng.randrange(len(hashes)))
    elif kind == 2:
        place = rng.randrange(len(hashes))
        hashes[place] = other_hash(rng, hashes[place])
    elif kind == 3:
        rng.shuffle(hashes)
    elif kind == 4:
        hashes.append(rng.choice(hashes))
    else:
        # Two hashes made one, as if the tree were less high.
        place = rng.randrange(len(hashes))
        hashes[place : place + 2] = [hash_pair(hashes[place], hashes[place])]
    return tuple(hashes)


def other_number(rng: random.Random, number: int) -> int:
    kind = rng.randrange(4)
    if kind == 0:
        return number + rng.choice((-1, 1))
    if kind == 1:
        return number ^ 1 << rng.randrange(12)
    return rng.randrange(3000) if kind == 2 else rng.choice((0, 1, -1, 2 * number, 2**63))


PROOF_CHANGES = (other_hash, other_number, other_number, other_path, other_hash)
GROWTH_CHANGES = (other_number, other_number, other_path, other_hash, other_hash)


def changed(rng: random.Random, true: Any, changes: Sequence[Callable[..., Any]]) -> Any:
    """Change one to three of the values that a proof is checked with."""
    values = list(true)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.randrange(len(values))
        values[place] = changes[place](rng, values[place])
    return tuple(values)


def is_same_proof(forged: Proof, true: Proof) -> bool:
    leaf, index, size, path, root = forged
    if size == 1 and leaf == root and not path:
        return True  # as true of every leaf
    if (leaf, path, root) != (true[0], true[3], true[4]) or not 0 <= index < size <= 2**63:
        return False
    return inclusion_steps(index, size) == inclusion_steps(true[1], true[2])


def is_same_growth(forged: Growth, true: Growth) -> bool:
    old, new, path, old_root, new_root = forged
    if old == new and old_root == new_root and not path:
        return True  # as true of every log
    if (path, old_root, new_root) != true[2:] or not 0 < old <= new <= 2**63:
        return False
    return growth_steps(old, new) == growth_steps(true[0], true[1])


Receipt = tuple[bytes, bytes]  # the receipt, and the leaf


def make_receipt(index: int, size: int) -> Receipt:
    note = sign_note(Checkpoint(ORIGIN, size, root_hash(size, NODES)).write(), [SIGNER])
    written = write_proof(index, inclusion_proof(index, size, NODES), note)
    return written.encode(), LEAVES[index]


Forger = Callable[[random.Random, int, int, Receipt], Receipt]


def _other_bytes(rng: random.Random, index: int, size: int, true: Receipt) -> Receipt:
    written = bytearray(true[0])
    place = rng.randrange(len(written))
    kind = rng.randrange(4)
    if kind == 0:
        written[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del written[place : place + rng.randint(1, 4)]
    elif kind == 2:
        written.insert(place, rng.randrange(256))
    else:
        end = place + rng.randint(1, 40)
        written[place:place] = written[place:end]
    return bytes(written), true[1]


def _other_leaf(rng: random.Random, index: int, size: int, true: Receipt) -> Receipt:
    leaf = true[1]
    kind = rng.randrange(4)
    if kind == 0:
        leaf = rng.choice(LEAVES)
    elif kind == 1:
        leaf = leaf + rng.randbytes(1)
    elif kind == 2:
        leaf = leaf[:-1]
    else:
        # What is hashed for the node above, less the byte that sets nodes apart from leaves.
        leaf = NODES(0, index // 2 * 2) + NODES(0, index // 2 * 2 + 1)
    return true[0], leaf


def _other_place(rng: random.Random, index: int, size: int, true: Receipt) -> Receipt:
    """The proof of another record, of another size, or of a node, put under the checkpoint."""
    note = true[0].partition(b"\n\n")[2].decode()
    kind = rng.randrange(3)
    if kind == 0:
        other = rng.randrange(size)
        path = inclusion_proof(other, size, NODES)
        return write_proof(rng.choice((index, other)), path, note).encode(), true[1]
    if kind == 1:
        smaller = rng.randint(index + 1, len(LEAVES))
        return write_proof(index, inclusion_proof(index, smaller, NODES), note).encode(), true[1]
    path = inclusion_proof(index, size, NODES)[1:]
    return write_proof(index // 2, path, note).encode(), true[1]


def _other_checkpoint(rng: random.Random, index: int, size: int, true: Receipt) -> Receipt:
    """Another size or root under the old signature, or under one of somebody else."""
    claimed = Checkpoint(ORIGIN, size, root_hash(size, NODES))
    kind = rng.randrange(4)
    if kind == 0:
        claimed = Checkpoint(ORIGIN, abs(other_number(rng, size)), claimed.root)
    elif kind == 1:
        claimed = Checkpoint(ORIGIN, size, other_hash(rng, claimed.root))
    elif kind == 2:
        claimed = Checkpoint(rng.choice(("example.com/log2", "x")), size, claimed.root)
    signature = true[0].rpartition(b"\n\n")[2].decode()
    if kind == 3 or rng.randrange(2):
        theirs = base64.b64decode(OTHER.sign(claimed.write()).split(" ")[2])
        its_id = rng.choice((OTHER, SIGNER)).verifier.id
        signature = f"— {ORIGIN} {base64.b64encode(its_id + theirs[4:]).decode()}\n"
    note = f"{claimed.write()}\n{signature}"
    return write_proof(index, inclusion_proof(index, size, NODES), note).encode(), true[1]


def _longer_path(rng: random.Random, index: int, size: int, true: Receipt) -> Receipt:
    note = true[0].partition(b"\n\n")[2].decode()
    path = other_path(rng, inclusion_proof(index, size, NODES))
    return write_proof(other_number(rng, index) % 2**63, list(path), note).encode(), true[1]


FORGERS: list[Forger] = [_other_bytes, _other_leaf, _other_place, _other_checkpoint, _longer_path]


def is_accepted(check: Callable[[], object]) -> bool:
    """Say whether a check passes; whatever else than a refusal it raises is a fault of its own."""
    try:
        check()
    except Invalid:
        return False
    return True


def proofs(rng: random.Random, size: int, index: int) -> Iterator[tuple[object, bool]]:
    path = tuple(inclusion_proof(index, size, NODES))
    true: Proof = (hash_leaf(LEAVES[index]), index, size, path, root_hash(size, NODES))
    check_inclusion(*true)
    for _ in range(PER_EXAMPLE):
        forged: Proof = changed(rng, true, PROOF_CHANGES)
        if not is_same_proof(forged, true):
            yield forged, is_accepted(partial(check_inclusion, *forged))


def growths(rng: random.Random, size: int, index: int) -> Iterator[tuple[object, bool]]:
    old = index + 1
    path = tuple(consistency_proof(old, size, NODES))
    true: Growth = (old, size, path, root_hash(old, NODES), root_hash(size, NODES))
    check_consistency(*true)
    for _ in range(PER_EXAMPLE):
        forged: Growth = changed(rng, true, GROWTH_CHANGES)
        if not is_same_growth(forged, true):
            yield forged, is_accepted(partial(check_consistency, *forged))


def receipts(rng: random.Random, size: int, index: int) -> Iterator[tuple[object, bool]]:
    true = make_receipt(index, size)
    check(*true)
    for _ in range(PER_EXAMPLE):
        forged = rng.choice(FORGERS)(rng, index, size, true)
        if forged != true:
            yield forged, is_accepted(partial(check, *forged))


def check(receipt: bytes, leaf: bytes) -> None:
    check_receipt(read_receipt(receipt), leaf, TRUST)


Attack = Callable[[random.Random, int, int], Iterator[tuple[object, bool]]]


def attack(forge: Attack, examples: int) -> int:
    """Try forgeries, fail on the first that is accepted, and count those that were different."""
    seen: set[int] = set()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(1, len(LEAVES)), st.integers(0, len(LEAVES) - 1), st.integers(0, 2**64))
    def run(size: int, index: int, seed: int) -> None:
        for forged, accepted in forge(random.Random(seed), size, index % size):
            assert not accepted, forged
            seen.add(hash(forged))

    run()
    return len(seen)


def test_no_forged_inclusion_proof_is_accepted() -> None:
    assert attack(proofs, 260) > 19_000


def test_no_forged_consistency_proof_is_accepted() -> None:
    assert attack(growths, 260) > 19_000


def test_no_forged_receipt_is_accepted() -> None:
    assert attack(receipts, 110) > 7_000


@pytest.mark.torture
@pytest.mark.parametrize(
    ("forge", "examples", "least"),
    [(proofs, 5_000, 360_000), (growths, 5_000, 360_000), (receipts, 4_600, 290_000)],
)
def test_of_a_million_forgeries_none_is_accepted(forge: Attack, examples: int, least: int) -> None:
    tried = attack(forge, examples)
    print(f"{tried} different forgeries")
    assert tried > least
