"""Files that are there whole or not at all, whenever the machine stops."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def put_whole(path: Path, data: bytes, mode: int) -> None:
    """Put a file in place of what was there; when this returns it survives a power failure.

    Nobody ever sees a part of it. Raises OSError; nothing was changed then.
    """
    draft = _draft(path, data, mode)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    sync_folder(path.parent)


def put_new(path: Path, data: bytes, mode: int) -> None:
    """Put a file in place as `put_whole` does. Raises FileExistsError where there is one."""
    draft = _draft(path, data, mode)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(path: Path, data: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    return draft
