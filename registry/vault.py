"""The master key in its own file, and what is done with it: payloads sealed for each person.

Each person has a key of their own, AES-256-GCM (NIST SP 800-38D), stored wrapped by the master key.
Whoever deletes that key deletes all that was sealed with it, wherever copies of it are. The master
key itself is used for nothing: three keys are derived from it, HMAC-SHA-256(master, label), of
which one wraps, one finds the key of a person without storing who that is, one makes pseudonyms.
"""

import hmac
import os
from pathlib import Path

import msgspec

from registry.entry import Payload
from registry.errors import PayloadKeyMissing, StoreUnavailable
from registry.files import put_new

FILE_NAME = "payload.key"
KEY_SIZE = 32

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes | None, bytes | None]).decode


class Vault:
    """The master key at `path`, read when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._master: bytes | None = None

    def make_key(self) -> None:
        """Make the key's file where there is none. Raises StoreUnavailable where that fails."""
        try:
            put_new(self._path, os.urandom(KEY_SIZE), 0o600)
        except FileExistsError:
            return
        except OSError as error:
            raise StoreUnavailable("the file of the payload key cannot be made") from error

    def fingerprint(self) -> bytes:
        """Return what tells this key from another, and nothing of it. Raises PayloadKeyMissing."""
        return self._derived(b"fingerprint")

    def lookup(self, subject: str) -> bytes:
        """Return what the key of a person is found by. Raises PayloadKeyMissing."""
        return hmac.digest(self._derived(b"lookup"), subject.encode(), "sha256")

    def pseudonym_key(self) -> bytes:
        """Return the key that pseudonyms are made with. Raises PayloadKeyMissing."""
        return self._derived(b"pseudonym")

    def wrap(self, subject_id: bytes, key: bytes) -> bytes:
        """Write a person's key so that it can be stored. Raises PayloadKeyMissing."""
        return _encrypt(self._derived(b"wrap"), key, subject_id)

    def unwrap(self, subject_id: bytes, wrapped: bytes) -> bytes:
        """Read what `wrap` wrote. Raises PayloadKeyMissing and PayloadDamaged."""
        return _decrypt(self._derived(b"wrap"), wrapped, subject_id)

    def _derived(self, label: bytes) -> bytes:
        if self._master is None:
            self._master = self._read()
        return hmac.digest(self._master, b"governed-gateway payload " + label, "sha256")

    def _read(self) -> bytes:
        try:
            key = self._path.read_bytes()
        except OSError as error:
            raise PayloadKeyMissing from error
        if len(key) != KEY_SIZE:
            raise PayloadKeyMissing
        return key


def new_key() -> bytes:
    return os.urandom(KEY_SIZE)


def seal(key: bytes, record_id: bytes, payload: Payload) -> bytes:
    """Encrypt salt, input and output of a record: a random nonce (12 bytes), then AES-256-GCM.

    The 16 bytes of the record's id are authenticated with them, so that no payload can be put in
    the place of another.
    """
    return _encrypt(key, _encode((payload.salt, payload.input, payload.output)), record_id)


def unseal(key: bytes, record_id: bytes, sealed: bytes) -> Payload:
    """Read what `seal` wrote. Raises PayloadDamaged where it is not what was sealed."""
    return Payload(*_decode(_decrypt(key, sealed, record_id)))


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    from registry.ciphers import encrypt  # noqa: PLC0415 - not small, and most seal nothing

    return encrypt(key, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    from registry.ciphers import decrypt  # noqa: PLC0415 - as above

    return decrypt(key, sealed, bound)
