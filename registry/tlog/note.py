"""The texts of signed notes, checkpoints and keys (C2SP signed-note and tlog-checkpoint).

A key has a name, which for a log is its origin. The same key under another name is another key:
its id is made of both. `signing` makes and checks signatures.
"""

import base64
import binascii
from hashlib import sha256

from msgspec import Struct

from registry.tlog.tree import HASH_SIZE

LOG_KEY = 0x01  # Ed25519 over the text
WITNESS_KEY = 0x04  # Ed25519 over time and text (C2SP tlog-cosignature)

_DASH = "\N{EM DASH} "
_ID_SIZE = 4


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


def write_signature(verifier: Verifier, signature: bytes) -> str:
    """Write the line that `signature_of` reads."""
    return f"{_DASH}{verifier.name} {_base64(verifier.id + signature)}\n"


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
