"""Files that are there after a power failure."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder holds: of files made, renamed and removed in it.

    Syncing a file makes its bytes durable, not its name. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
