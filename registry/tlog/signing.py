"""Signatures over notes, by Ed25519.

Apart from the texts themselves, since most processes read notes and never sign or check one.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from registry.tlog.note import (
    LOG_KEY,
    WITNESS_KEY,
    BadNote,
    Verifier,
    check_name,
    signature_of,
    split_note,
    write_signature,
)

_TIME_SIZE = 8


class Signer:
    """A key of a log, under its name."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        check_name(name)
        self._key = key
        self.verifier = Verifier(name, LOG_KEY, key.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """Write the signature line of a text."""
        return write_signature(self.verifier, self._key.sign(text.encode()))


def accepts(verifier: Verifier, text: str, signature: bytes) -> bool:
    """Say whether a signature over a note's text is by this key."""
    message = text.encode()
    if verifier.kind == WITNESS_KEY:
        time = int.from_bytes(signature[:_TIME_SIZE], "big")
        message = b"cosignature/v1\ntime %d\n" % time + message
        signature = signature[_TIME_SIZE:]
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def sign_note(text: str, signers: list[Signer]) -> str:
    """Make a note of a text, signed by each."""
    return text + "\n" + "".join(signer.sign(text) for signer in signers)


def open_note(note: str, verifier: Verifier) -> str:
    """Return the text of a note that a key signed. Raises BadNote where it did not."""
    text, lines = split_note(note)
    for line in lines:
        signature = signature_of(line, verifier)
        if signature is not None:
            if not accepts(verifier, text, signature):
                raise BadNote(f"A signature of {verifier.name} is false.")
            return text
    raise BadNote(f"The note is not signed by {verifier.name}.")
