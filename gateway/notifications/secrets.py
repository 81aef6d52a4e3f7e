"""What only the sender may know of a destination, in a file of its own that its owner alone reads.

For the form `standard` that is the key that signs, for `slack` the whole address. No route and no
command shows it again.
"""

import base64
import os
from pathlib import Path

from registry.errors import StoreUnavailable
from registry.files import put_new, sync_folder

KEY_PREFIX = "whsec_"
_KEY_SIZE = 32


class SecretMissing(Exception):
    """The file of a secret cannot be read."""


class Secrets:
    """The files in one folder, which is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, secret: str) -> None:
        """Keep a new secret; it survives a power failure. Raises StoreUnavailable."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            put_new(self._folder / name, secret.encode(), 0o600)
            sync_folder(self._folder.parent)
        except OSError as error:
            raise StoreUnavailable("the file of a secret cannot be made") from error

    def read(self, name: str) -> str:
        """Return a secret. Raises SecretMissing."""
        try:
            return (self._folder / name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing from error

    def remove(self, name: str) -> None:
        """Forget a secret, if it is there. Raises StoreUnavailable."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable("the file of a secret cannot be removed") from error


def new_key() -> str:
    """Make a key that signs, as Standard Webhooks writes it: 32 random bytes in base64."""
    return KEY_PREFIX + base64.b64encode(os.urandom(_KEY_SIZE)).decode()


def read_key(text: str) -> bytes:
    """Return the bytes of a key. Raises SecretMissing where it is none."""
    try:
        return base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except ValueError as error:
        raise SecretMissing from error
