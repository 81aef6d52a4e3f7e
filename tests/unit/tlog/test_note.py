"""Notes, checkpoints and keys are written as C2SP writes them, and false ones are refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.tlog.note import (
    WITNESS_KEY,
    BadNote,
    Checkpoint,
    Verifier,
    signature_of,
    split_note,
    write_proof,
)
from registry.tlog.signing import Signer, accepts, open_note, sign_note

# The pair that the Go project tests its notes with.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    TEXT + "\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def make_signer(name: str = "gateway.example/log", seed: int = 1) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_a_note_is_signed_as_the_go_project_signs_it() -> None:
    signer = Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(SEED))
    assert signer.verifier.write() == VKEY
    assert sign_note(TEXT, [signer]) == NOTE
    assert open_note(NOTE, Verifier.read(VKEY)) == TEXT


def test_a_note_that_was_changed_is_refused() -> None:
    verifier = Verifier.read(VKEY)
    for place in range(len(NOTE)):
        changed = NOTE[:place] + chr(ord(NOTE[place]) ^ 1) + NOTE[place + 1 :]
        with pytest.raises(BadNote):
            open_note(changed, verifier)


def test_a_note_needs_the_signature_of_the_key_that_is_trusted() -> None:
    old, new = make_signer(), make_signer(seed=2)
    note = sign_note("text\n", [old, new])
    assert open_note(note, old.verifier) == open_note(note, new.verifier) == "text\n"
    for other in (make_signer(seed=3), make_signer("another.example/log")):
        with pytest.raises(BadNote, match="not signed"):
            open_note(note, other.verifier)


def test_a_checkpoint_has_the_form_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = Checkpoint.read(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.write() == text
    assert Checkpoint.read(sign_note(text, [make_signer()])) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        "origin\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "origin\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2=\n",
        "origin\n1\nAAAA\n",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        Checkpoint.read(text)


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "line\nbreak", "nar\u00a0row"])
def test_a_key_has_a_name_that_a_note_can_hold(name: str) -> None:
    with pytest.raises(BadNote):
        make_signer(name)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "name+00000000+AA==", VKEY.replace("c74f20a3", "c74f20a4"), VKEY + "!", VKEY[:-4]],
)
def test_a_text_that_is_no_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(BadNote):
        Verifier.read(vkey)


def test_a_cosignature_covers_its_time() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    verifier = Verifier("witness.example", WITNESS_KEY, key.public_key().public_bytes_raw())
    message = b"cosignature/v1\ntime 1679315147\ntext\n"
    signature = (1679315147).to_bytes(8, "big") + key.sign(message)
    assert accepts(verifier, "text\n", signature)
    assert not accepts(verifier, "text\n", (1679315148).to_bytes(8, "big") + signature[8:])
    assert not accepts(verifier, "other\n", signature)
    assert not accepts(verifier, "text\n", b"")
    line = f"— witness.example {base64.b64encode(verifier.id + signature).decode()}\n"
    assert signature_of(line, verifier) == signature
    assert split_note("text\n\n" + line) == ("text\n", [line])


def test_a_proof_is_one_text() -> None:
    note = sign_note(Checkpoint("o", 2, b"\2" * 32).write(), [make_signer()])
    lines = write_proof(1, [b"\1" * 32], note).split("\n")
    assert lines[:4] == ["c2sp.org/tlog-proof@v1", "index 1", "AQEB" * 10 + "AQE=", ""]
    assert "\n".join(lines[4:]) == note
