"""Signed notes (C2SP signed-note): a text, and who signed it, with Ed25519.

Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`) are lines of the same form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.audit.verify.encoding import LARGEST_NUMBER, read_base64
from registry.audit.verify.faults import Malformed, Mismatch

ED25519 = 0x01
COSIGNATURE = 0x04

# Far above what 16 signatures need, post-quantum ones included.
LARGEST_NOTE = 1 << 17

_KEY_SIZE = 32
_SIGNATURE_SIZE = 64
_TIME_SIZE = 8
_DASH = "\N{EM DASH} "
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_SPACE_OR_PLUS = re.compile(r"[\s+]")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name, for one kind of signature: `ED25519` or `COSIGNATURE`."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        told = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return sha256(told).digest()[:4]


@dataclass(frozen=True, slots=True)
class Signature:
    """A line under a note whose key is known and whose signature holds.

    `time` is what a witness says, in seconds since 1970; None in the log's own.
    """

    key: VerifierKey
    time: int | None = None


def read_vkey(text: str) -> VerifierKey:
    """Read a verifier key: `name+id+base64(kind || key)`. Raises Malformed."""
    name, *rest = text.split("+", 2)
    if len(rest) != 2 or not _is_name(name) or not _KEY_ID.fullmatch(rest[0]):
        raise Malformed("verifier key", "is not of the form name+id+key")
    told = read_base64(rest[1], "verifier key")
    if len(told) != 1 + _KEY_SIZE or told[0] not in {ED25519, COSIGNATURE}:
        raise Malformed("verifier key", "is not one of Ed25519")
    key = VerifierKey(name, told[0], told[1:])
    if key.id.hex() != rest[0]:
        raise Malformed("verifier key", "has an id that does not belong to it")
    return key


def open_note(note: bytes, keys: Sequence[VerifierKey]) -> tuple[str, list[Signature]]:
    """Return a note's text and those of its signatures that are by the given keys.

    Lines by other keys are passed over. A line by a known key that does not hold, or that comes
    twice, condemns the note, as does having no line by a known key. Raises Malformed and Mismatch.
    """
    text, lines = _take_apart(note)
    known = {(key.name, key.id): key for key in keys}
    found: dict[VerifierKey, Signature] = {}
    for line in lines:
        name, key_id, signature = _read_line(line)
        key = known.get((name, key_id))
        if key is None:
            continue
        if key in found:
            raise Malformed("note", f"is signed twice by {name}")
        found[key] = _check(key, signature, text)
    if not found:
        raise Mismatch("The note has no signature by a key that counts.")
    return text, list(found.values())


def _take_apart(note: bytes) -> tuple[str, list[str]]:
    if len(note) > LARGEST_NOTE:
        raise Malformed("note", f"is longer than {LARGEST_NOTE} bytes")
    try:
        written = note.decode()
    except UnicodeDecodeError as error:
        raise Malformed("note", "is not UTF-8") from error
    if any(sign < " " and sign != "\n" for sign in written):
        raise Malformed("note", "holds control characters")
    text, separator, signatures = written.rpartition("\n\n")
    if not separator or not text or not signatures.endswith("\n"):
        raise Malformed("note", "is not a text, an empty line and signatures")
    return text + "\n", signatures[:-1].split("\n")


def _read_line(line: str) -> tuple[str, bytes, bytes]:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator or not _is_name(name):
        raise Malformed("signature line", "is not a dash, a name and a signature")
    signature = read_base64(encoded, "signature")
    if len(signature) <= 4:
        raise Malformed("signature", "has no more than a key's id")
    return name, signature[:4], signature[4:]


def _check(key: VerifierKey, signature: bytes, text: str) -> Signature:
    message, time = text.encode(), None
    if key.kind == COSIGNATURE:
        time = int.from_bytes(signature[:_TIME_SIZE], "big")
        message = b"cosignature/v1\ntime %d\n" % time + message
        signature = signature[_TIME_SIZE:]
    if len(signature) != _SIGNATURE_SIZE or (time or 0) > LARGEST_NUMBER:
        raise Malformed(f"signature by {key.name}", "is not one of Ed25519")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature as error:
        raise Mismatch(f"The signature by {key.name} does not fit the text.") from error
    return Signature(key, time)


def _is_name(name: str) -> bool:
    return bool(name) and not _SPACE_OR_PLUS.search(name)
