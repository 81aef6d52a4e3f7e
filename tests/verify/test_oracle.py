"""Another program for the same specifications says the same: `aics-tlog`, where it can run."""

import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.audit.static import export_tiles
from registry.audit.verify.checkpoints import Trust, open_checkpoint
from registry.audit.verify.log import check_log
from registry.audit.verify.notes import read_vkey
from registry.audit.verify.proofs import check_consistency, check_inclusion
from registry.audit.verify.sources import ExportSource
from tests.verify.logs import ORIGIN, VKEY, extend, make_entry, sign, write_log
from tests.verify.test_forgeries import growths, is_accepted, proofs

oracle = pytest.importorskip("aics_tlog", reason="aics-tlog needs Python 3.12")


def make_key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))


def compare(trees: int, seed: int) -> int:
    """Ask both about true and forged proofs of random trees, and count the questions."""
    rng = random.Random(seed)
    asked = 0
    for _ in range(trees):
        leaves = [rng.randbytes(rng.randrange(40)) for _ in range(rng.randint(1, 90))]
        tree = oracle.MerkleTree(leaves)
        size, index = len(leaves), rng.randrange(len(leaves))
        leaf = oracle.leaf_hash(leaves[index])
        check_inclusion(leaf, index, size, tree.inclusion_proof(index), tree.root())
        old = rng.randint(0, size)
        path = tree.consistency_proof(old)
        check_consistency(old, size, path, tree.root(old), tree.root())
        asked += 2
    return asked


def test_proofs_of_random_trees_are_accepted() -> None:
    assert compare(1_000, seed=1) == 2_000


@pytest.mark.torture
def test_proofs_of_100_000_random_trees_are_accepted() -> None:
    assert compare(100_000, seed=2) == 200_000


def test_both_refuse_the_same_forgeries() -> None:
    rng = random.Random(3)
    for _ in range(40):
        size = rng.randint(1, 1500)
        index = rng.randrange(size)
        for forged, accepted in proofs(rng, size, index):
            assert oracle.verify_inclusion(*forged) is accepted
        for forged, accepted in growths(rng, size, index):
            old, new, path, old_root, new_root = forged
            assert oracle.verify_consistency(old, new, old_root, new_root, path) is accepted


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700, 66_000])
def test_an_export_is_a_log_to_others(tmp_path: Path, size: int) -> None:
    store = write_log(tmp_path / "data", (size,))
    export_tiles(store, tmp_path / "export")
    note = oracle.parse_note((tmp_path / "export" / "checkpoint").read_bytes())
    key = oracle.parse_vkey((tmp_path / "export" / "vkey").read_text().strip())
    verdict = oracle.verify_checkpoint(note, key, expected_origin=ORIGIN)
    assert (verdict.ok, verdict.size) == (True, size)
    tiles = oracle.FileSystemTileReader(tmp_path / "export")
    assert oracle.tree_root_from_tiles(tiles, size) == verdict.root
    for index in {0, size // 2, size - 1}:
        assert oracle.read_entry(tiles, index, size) == make_entry(index).leaf
    store.close()


def test_a_log_of_others_is_one_to_the_checker(tmp_path: Path) -> None:
    key = make_key(1)
    leaves = [make_entry(number).leaf for number in range(600)]
    oracle.TileWriter(leaves).write_to(tmp_path)
    root = oracle.MerkleTree(leaves).root()
    note = oracle.sign_checkpoint(oracle.Checkpoint(ORIGIN, 600, root), key, ORIGIN)
    (tmp_path / "checkpoint").write_bytes(note.to_bytes())
    vkey = oracle.format_vkey(oracle.vkey_from_ed25519(ORIGIN, key.public_key()))
    (tmp_path / "vkey").write_text(vkey + "\n")
    report = check_log(ExportSource(tmp_path), Trust(keys=(read_vkey(vkey),)))
    assert report.fault is None
    assert report.records == 600


def test_a_cosignature_of_others_counts(tmp_path: Path) -> None:
    store = write_log(tmp_path / "data", ())
    extend(store, 5)
    note = sign(store)
    signed = store.checkpoint()
    assert signed is not None
    key = make_key(2)
    _, line = oracle.sign_cosignature(
        key, "witness.example", 1_700_000_000, ORIGIN, signed.size, signed.root
    )
    vkey = oracle.cosignature_vkey("witness.example", key.public_key())
    witness = read_vkey(oracle.format_vkey(vkey))
    signed_note = oracle.parse_note(note)
    cosigned = oracle.Note(signed_note.text, (*signed_note.signatures, line)).to_bytes()
    checkpoint = open_checkpoint(cosigned, [read_vkey(VKEY)], witnesses=[witness])
    assert [one.time for one in checkpoint.signatures] == [None, 1_700_000_000]
    assert not is_accepted(
        lambda: open_checkpoint(note.encode(), [read_vkey(VKEY)], witnesses=[witness])
    )
    store.close()
