"""Bytes by their digest, in a folder: put, read, check.

A file's name is its digest, so no name that a caller chose ever becomes a path, storing twice is
storing once, and every read finds out whether the bytes are still the bytes that were stored.
"""

import re
from hashlib import sha256
from pathlib import Path

from registry.errors import ArtifactDamaged, ArtifactNotFound, StoreUnavailable
from registry.files import put_whole, sync_folder

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    """Name the content of `data`: algorithm and value.

    >>> digest_of(b"")[:22]
    'sha256:e3b0c44298fc1c1'
    """
    return f"sha256:{sha256(data).hexdigest()}"


class Artifacts:
    """A folder of immutable files, each stored under the digest of its bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest.

        Storing them again changes nothing, except that it mends a damaged file. Raises
        StoreUnavailable where the disk refuses; nothing is stored then.
        """
        digest = digest_of(data)
        path = self._path(digest)
        try:
            if not _holds(path, digest):
                path.parent.mkdir(parents=True, exist_ok=True)
                put_whole(path, data, 0o444)
            # Up to the folder that holds this one, since each may be new; and also where another
            # writer made the file, which may not have come this far yet.
            for folder in path.parents[:4]:
                sync_folder(folder)
        except OSError as error:
            raise StoreUnavailable("the artifact could not be written") from error
        return digest

    def read(self, digest: str) -> bytes:
        """Read the bytes of a digest, having checked that they still have it.

        Raises ArtifactNotFound and ArtifactDamaged.
        """
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise ArtifactNotFound(digest) from None
        except OSError as error:
            raise StoreUnavailable("the artifact could not be read") from error
        found = digest_of(data)
        if found != digest:
            raise ArtifactDamaged(digest, found)
        return data

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ArtifactNotFound(digest)
        algorithm, value = digest.split(":")
        return self._folder / algorithm / value[:2] / value


def _holds(path: Path, digest: str) -> bool:
    try:
        return digest_of(path.read_bytes()) == digest
    except FileNotFoundError:
        return False
