"""The checker accepts what the specifications and their reference programs publish."""

import base64
import json
import re
import subprocess
import sys
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.audit.verify.checkpoints import open_checkpoint
from registry.audit.verify.encoding import LARGEST_NUMBER, read_base64, read_number
from registry.audit.verify.faults import Invalid, Malformed, Mismatch
from registry.audit.verify.notes import COSIGNATURE, ED25519, VerifierKey, open_note, read_vkey
from registry.audit.verify.proofs import EMPTY_ROOT, check_consistency, check_inclusion, hash_leaf
from registry.audit.verify.receipts import read_receipt
from registry.audit.verify.tiles import level_count, root_of, tile_path

# Of the Certificate Transparency project's own tests: leaves, roots, and proofs between them.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
NODES = {
    name: bytes.fromhex(node)
    for name, node in {
        "0": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "1": "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "4": "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "01": "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "23": "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "45": "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "67": "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "03": "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "47": "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    }.items()
}
INCLUSION = [
    (0, 1, []),
    (0, 8, ["1", "23", "47"]),
    (5, 8, ["4", "67", "03"]),
    (2, 3, ["01"]),
    (1, 5, ["0", "23", "4"]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, ["1", "23", "47"]),
    (6, 8, ["45", "67", "03"]),
    (2, 5, ["23", "4"]),
]

# Of the tests of Go's `sumdb/note`, where signed notes come from.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
    "RZb6KE6RyyBwJnAM=\n"
)
# The example of C2SP tlog-checkpoint and tlog-cosignature; its keys are not published.
CHECKPOINT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501 - lines of a note are as long as they are


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of([[hash_leaf(leaf) for leaf in LEAVES[:size]]]) == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_published_inclusion_proofs_hold(index: int, size: int, path: list[str]) -> None:
    hashes = [NODES[name] for name in path]
    check_inclusion(hash_leaf(LEAVES[index]), index, size, hashes, ROOTS[size])
    with pytest.raises(Mismatch):
        check_inclusion(hash_leaf(LEAVES[index]), index, size, hashes, ROOTS[size - 1])


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_published_consistency_proofs_hold(old: int, new: int, path: list[str]) -> None:
    hashes = [NODES[name] for name in path]
    check_consistency(old, new, hashes, ROOTS[old], ROOTS[new])
    for roots in ((ROOTS[old - 1], ROOTS[new]), (ROOTS[old], ROOTS[new - 1])):
        with pytest.raises(Mismatch):
            check_consistency(old, new, hashes, *roots)


def test_every_log_continues_the_empty_one() -> None:
    check_consistency(0, 8, [], EMPTY_ROOT, ROOTS[8])
    for old, new, path, roots in (
        (0, 8, [], (ROOTS[1], ROOTS[8])),
        (0, 8, [ROOTS[1]], (EMPTY_ROOT, ROOTS[8])),
        (3, 3, [], (ROOTS[3], ROOTS[4])),
        (3, 3, [ROOTS[1]], (ROOTS[3], ROOTS[3])),
        (4, 3, [], (ROOTS[4], ROOTS[3])),
        (3, 4, [], (ROOTS[3], ROOTS[4])),
    ):
        with pytest.raises(Mismatch):
            check_consistency(old, new, path, *roots)


def test_the_note_of_gos_own_tests_opens() -> None:
    key = read_vkey(GO_VKEY)
    text, [signature] = open_note(f"{GO_TEXT}\n{GO_LINE}".encode(), [key])
    assert text == GO_TEXT
    assert signature.key == key
    assert signature.time is None


def test_lines_of_unknown_keys_are_passed_over() -> None:
    key = read_vkey(GO_VKEY)
    stranger = GO_LINE.replace("PeterNeumann", "somebody.else")
    other_key = f"— PeterNeumann {base64.b64encode(bytes(68)).decode()}\n"
    for lines in (stranger + GO_LINE, GO_LINE + stranger, GO_LINE + other_key * 16):
        text, signatures = open_note(f"{GO_TEXT}\n{lines}".encode(), [key])
        assert (text, len(signatures)) == (GO_TEXT, 1)
    with pytest.raises(Mismatch):
        open_note(f"{GO_TEXT}\n{stranger}".encode(), [key])


def test_a_note_ends_its_text_at_the_last_empty_line() -> None:
    with pytest.raises(Mismatch, match="does not fit"):
        open_note(f"{GO_TEXT}\n{GO_TEXT}\n{GO_LINE}".encode(), [read_vkey(GO_VKEY)])


@pytest.mark.parametrize(
    "note",
    [
        GO_TEXT + GO_LINE,
        GO_TEXT + "\n" + GO_LINE[:-1],
        GO_TEXT + "\n",
        "\n" + GO_LINE,
        GO_TEXT + "\n" + GO_LINE + GO_LINE,
        GO_TEXT + "\r\n" + GO_LINE,
        GO_TEXT + "\n" + GO_LINE.replace("—", "-"),
        GO_TEXT + "\n" + GO_LINE.replace("— ", "—"),
        GO_TEXT + "\n" + GO_LINE.replace("nAM=", "nAN="),
        GO_TEXT + "\n" + GO_LINE.replace("nAM=", "nAM"),
        GO_TEXT + "\n" + GO_LINE + "\n",
        GO_TEXT + "\n" + GO_LINE + "no signature\n",
        GO_TEXT + "\n" + GO_LINE + "— somebody AAAA\n",
        GO_TEXT + "\t\n" + GO_LINE,
        GO_TEXT * 2000 + "\n" + GO_LINE,
    ],
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(Malformed):
        open_note(note.encode(), [read_vkey(GO_VKEY)])


def test_a_note_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(Malformed):
        open_note(GO_TEXT.encode() + b"\xff\n\n" + GO_LINE.encode(), [read_vkey(GO_VKEY)])


def test_no_part_and_no_change_of_a_verifier_key_is_one() -> None:
    for start in range(len(GO_VKEY)):
        for end in range(start + 1, len(GO_VKEY) + 1):
            if (start, end) != (0, len(GO_VKEY)):
                with pytest.raises(Malformed):
                    read_vkey(GO_VKEY[start:end])
    for place, sign in enumerate(GO_VKEY):
        with pytest.raises(Malformed):
            read_vkey(GO_VKEY[:place] + chr(ord(sign) + 1) + GO_VKEY[place + 1 :])
    # Of another length and of another kind, with ids that fit.
    for key in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(Malformed):
            read_vkey(key)


def test_the_examples_checkpoint_is_read_and_not_believed() -> None:
    with pytest.raises(Mismatch, match="no signature by a key that counts"):
        open_checkpoint(CHECKPOINT.encode(), [read_vkey(GO_VKEY)])


def cosign(text: str, time: int, key: Ed25519PrivateKey, name: str) -> str:
    """Cosign a checkpoint, word for word as C2SP tlog-cosignature says."""
    public = key.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    signature = key.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
    line = base64.b64encode(key_id + time.to_bytes(8, "big") + signature).decode()
    return f"— {name} {line}\n"


def test_the_signature_of_a_witness_counts_with_its_time() -> None:
    log, witness = (Ed25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))
    log_key = VerifierKey("log", ED25519, log.public_key().public_bytes_raw())
    witness_key = VerifierKey("witness", COSIGNATURE, witness.public_key().public_bytes_raw())
    text = f"log\n8\n{base64.b64encode(ROOTS[8]).decode()}\n"
    signature = base64.b64encode(log_key.id + log.sign(text.encode())).decode()
    note = f"{text}\n— log {signature}\n"
    line = cosign(text, 1_700_000_000, witness, "witness")
    opened = open_checkpoint((note + line).encode(), [log_key], witnesses=[witness_key])
    assert [one.time for one in opened.signatures] == [None, 1_700_000_000]

    later = cosign(text.replace("8", "9"), 1_700_000_000, witness, "witness")
    far = cosign(text, 2**63, witness, "witness")
    for unsigned in ("", later, far, line.replace("witness", "other")):
        with pytest.raises(Invalid):
            open_checkpoint((note + unsigned).encode(), [log_key], witnesses=[witness_key])
    # A witness does not stand in for the log.
    with pytest.raises(Mismatch, match="not signed by a key of that name"):
        open_checkpoint(f"{text}\n{line}".encode(), [log_key], witnesses=[witness_key])


@pytest.mark.parametrize(
    "text",
    [
        "log\n8\n",
        "\n8\n{root}\n",
        "log\n08\n{root}\n",
        "log\n-8\n{root}\n",
        "log\n{root}\n8\n",
        "log\n8\nAAAA\n",
        "log\n8\n{root}\nan extension\n",
        "log\n0\n{root}\n",
        "another\n8\n{root}\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
    verifier = VerifierKey("log", ED25519, key.public_key().public_bytes_raw())
    written = text.replace("{root}", base64.b64encode(ROOTS[8]).decode())
    signature = base64.b64encode(verifier.id + key.sign(written.encode())).decode()
    with pytest.raises(Invalid):
        open_checkpoint(f"{written}\n— log {signature}\n".encode(), [verifier])


def test_a_receipt_is_taken_apart_as_its_specification_says() -> None:
    hashes = [base64.b64encode(NODES[name]).decode() for name in ("1", "23", "47")]
    lines = ["c2sp.org/tlog-proof@v1", "extra aGVsbG8=", "index 0", *hashes, "", CHECKPOINT]
    receipt = read_receipt("\n".join(lines).encode())
    assert receipt.extra == b"hello"
    assert receipt.index == 0
    assert receipt.path == (NODES["1"], NODES["23"], NODES["47"])
    assert receipt.checkpoint == CHECKPOINT.encode()
    for place, line in (
        (0, "c2sp.org/tlog-proof@v2"),
        (1, "extra aGVsbG8"),
        (1, "extra"),
        (2, "index 00"),
        (2, "index -1"),
        (2, "number 0"),
        (3, hashes[0][:-4]),
        (5, "not ascii: é"),
    ):
        broken = [*lines[:place], line, *lines[place + 1 :]]
        with pytest.raises(Malformed):
            read_receipt("\n".join(broken).encode())


@pytest.mark.parametrize(
    "text", ["", "00", "01", "+1", "-1", " 1", "1 ", "1\n", "1_0", "٣", "1e3", str(2**63)]
)
def test_a_number_is_written_in_one_way(text: str) -> None:
    with pytest.raises(Malformed):
        read_number(text, "size")


def test_numbers_go_up_to_the_largest() -> None:
    assert [read_number(text, "size") for text in ("0", "7", str(2**63 - 1))] == [
        0,
        7,
        LARGEST_NUMBER,
    ]


@pytest.mark.parametrize("text", ["AB==", "AA=", "AA", "A===", "AA==\n", "-_8=", "AA==AA=="])
def test_base64_is_written_in_one_way(text: str) -> None:
    with pytest.raises(Malformed):
        read_base64(text, "hash")


def test_tiles_have_the_paths_of_the_specification() -> None:
    assert tile_path(0, 1234067, 256) == "tile/0/x001/x234/067"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    # As the specification counts them: 70,000 records have three levels.
    assert level_count(70_000) == 3


def test_the_checker_loads_nothing_of_the_writer() -> None:
    """Whatever module the writer may get: the checker is loaded without it."""
    program = (
        "import json, sys, pkgutil, importlib, registry.audit.verify as verify\n"
        "for one in pkgutil.iter_modules(verify.__path__):\n"
        "    importlib.import_module(f'registry.audit.verify.{one.name}')\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('registry')]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    allowed = re.compile(r"registry(\.audit(\.verify(\..*)?)?)?")
    loaded = json.loads(result.stdout)
    assert "registry.audit.verify.log" in loaded
    assert [name for name in loaded if not allowed.fullmatch(name)] == []
