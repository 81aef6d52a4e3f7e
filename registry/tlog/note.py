"""Signed notes and the checkpoints of a log (C2SP signed-note and tlog-checkpoint), by Ed25519.

A key has a name, which for a log is its origin. The same key under another name is another key:
its id is made of both.
"""

import base64
import binascii
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from registry.tlog.tree import HASH_SIZE

LOG_KEY = 0x01  # Ed25519 over the text
WITNESS_KEY = 0x04  # Ed25519 over time and text (C2SP tlog-cosignature)

_DASH = "\N{EM DASH} "
_ID_SIZE = 4
_TIME_SIZE = 8


class BadNote(ValueError):
    """A text is no note, no checkpoint or no key, or lacks a signature that it must have."""


class Verifier(Struct, frozen=True):
    """The public half of a key: who signed, with what kind of signature."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        name = self.name.encode()
        return sha256(name + b"\n" + bytes([self.kind]) + self.public).digest()[:_ID_SIZE]

    def write(self) -> str:
        """Write the verifier key as tools are given it: name, id and key, with plus signs."""
        return f"{self.name}+{self.id.hex()}+{_base64(bytes([self.kind]) + self.public)}"

    @classmethod
    def read(cls, text: str) -> "Verifier":
        """Read what `write` wrote. Raises BadNote."""
        name, _, rest = text.strip().partition("+")
        found, _, encoded = rest.partition("+")
        key = _bytes(encoded)
        check_name(name)
        if len(key) != 1 + HASH_SIZE or key[0] not in {LOG_KEY, WITNESS_KEY}:
            raise BadNote("The verifier key is of a kind that is not known here.")
        verifier = cls(name, key[0], key[1:])
        if verifier.id.hex() != found:
            raise BadNote("The verifier key has an id that is not its own.")
        return verifier

    def accepts(self, text: str, signature: bytes) -> bool:
        """Say whether a signature over a note's text is by this key."""
        message = text.encode()
        if self.kind == WITNESS_KEY:
            time = int.from_bytes(signature[:_TIME_SIZE], "big")
            message = b"cosignature/v1\ntime %d\n" % time + message
            signature = signature[_TIME_SIZE:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A key of a log, under its name."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        check_name(name)
        self._key = key
        self.verifier = Verifier(name, LOG_KEY, key.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """Write the signature line of a text."""
        signature = self.verifier.id + self._key.sign(text.encode())
        return f"{_DASH}{self.verifier.name} {_base64(signature)}\n"


class Checkpoint(Struct, frozen=True):
    """What a log signs: that its tree of `size` leaves has this root."""

    origin: str
    size: int
    root: bytes

    def write(self) -> str:
        """Write the text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def read(cls, text: str) -> "Checkpoint":
        """Read the text of a note, or the whole note; no signature is looked at. Raises BadNote."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0]:
            raise BadNote("The text is no checkpoint: it lacks a line.")
        root = _bytes(lines[2])
        if not _is_decimal(lines[1]) or len(root) != HASH_SIZE:
            raise BadNote("The text is no checkpoint: its size or root is none.")
        return cls(lines[0], int(lines[1]), root)


def sign_note(text: str, signers: "list[Signer]") -> str:
    """Make a note of a text, signed by each."""
    return text + "\n" + "".join(signer.sign(text) for signer in signers)


def open_note(note: str, verifier: Verifier) -> str:
    """Return the text of a note that a key signed. Raises BadNote where it did not."""
    text, lines = split_note(note)
    for line in lines:
        if signature_of(line, verifier) is not None:
            if not verifier.accepts(text, signature_of(line, verifier) or b""):
                raise BadNote(f"A signature of {verifier.name} is false.")
            return text
    raise BadNote(f"The note is not signed by {verifier.name}.")


def split_note(note: str) -> tuple[str, list[str]]:
    """Part a note into its text and its signature lines. Raises BadNote."""
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise BadNote("The text is no signed note.")
    return text + "\n", lines.splitlines(keepends=True)


def signature_of(line: str, verifier: Verifier) -> bytes | None:
    """Return the signature in a line that names this key, or None."""
    parts = line.removesuffix("\n").split(" ")
    if len(parts) != 3 or parts[0] + " " != _DASH or parts[1] != verifier.name:
        return None
    signature = _bytes(parts[2])
    return signature[_ID_SIZE:] if signature[:_ID_SIZE] == verifier.id else None


def write_proof(index: int, proof: list[bytes], note: str) -> str:
    """Write an inclusion proof with its checkpoint as one text (C2SP tlog-proof)."""
    return f"c2sp.org/tlog-proof@v1\nindex {index}\n{write_hashes(proof)}\n{note}"


def write_hashes(hashes: list[bytes]) -> str:
    """Write hashes in base64, one a line."""
    return "".join(_base64(one) + "\n" for one in hashes)


def check_name(name: str) -> None:
    """Refuse a name that no key may have. Raises BadNote."""
    if not name or "+" in name or not name.isprintable() or any(c.isspace() for c in name):
        raise BadNote("The name of a key has no space and no plus sign, and is not empty.")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote("The text is not base64.") from error


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
