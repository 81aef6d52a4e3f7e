"""The file with the private keys of the log: one, or two while a rotation is under way."""

import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from registry.errors import LogKeyMissing
from registry.files import put_new, put_whole
from registry.records import Origin
from registry.tlog.note import Verifier
from registry.tlog.signing import Signer

_MODE = 0o600
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n?", re.DOTALL)


class KeyFile:
    """Ed25519 keys in PEM (PKCS 8, RFC 5958), for their owner's eyes alone; the newest last.

    Whoever changes the file holds the store's write transaction, so that two never do at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self) -> Ed25519PrivateKey:
        """Return the newest key; the first is made where there is no file.

        Raises LogKeyMissing for a file without a key.
        """
        if not self._path.exists():
            put_new(self._path, _encode(Ed25519PrivateKey.generate()), _MODE)
        keys = self._keys()
        if not keys:
            raise LogKeyMissing("the log", str(self._path))
        return keys[-1]

    def add(self) -> Ed25519PrivateKey:
        """Make another key; it is durable before anybody can know of it."""
        key = Ed25519PrivateKey.generate()
        self._write([*self._keys(), key])
        return key

    def keep(self, origins: list[Origin]) -> None:
        """Destroy all keys but those of these origins."""
        wanted = {Verifier.read(origin.vkey).public for origin in origins}
        keys = self._keys()
        kept = [key for key in keys if key.public_key().public_bytes_raw() in wanted]
        if kept and len(kept) < len(keys):
            self._write(kept)

    def signer(self, origin: Origin) -> Signer:
        """Return the key of an origin, to sign with. Raises LogKeyMissing."""
        public = Verifier.read(origin.vkey).public
        for key in self._keys():
            if key.public_key().public_bytes_raw() == public:
                return Signer(origin.name, key)
        raise LogKeyMissing(origin.vkey, str(self._path))

    def _keys(self) -> list[Ed25519PrivateKey]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            keys = [load_pem_private_key(block, password=None) for block in _PEM.findall(content)]
        except ValueError as error:
            raise LogKeyMissing("the log", str(self._path)) from error
        return [key for key in keys if isinstance(key, Ed25519PrivateKey)]

    def _write(self, keys: list[Ed25519PrivateKey]) -> None:
        put_whole(self._path, b"".join(map(_encode, keys)), _MODE)


def _encode(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
