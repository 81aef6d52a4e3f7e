"""What the challenger is running, so that whoever comes after a crash knows whose it was.

The bytes are in the page cache of the machine: they outlive the process, however it ends.
"""

import fcntl
import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gateway.shadow.wire import Shadowed, decode, encode

_NAME = "running"


class Marker:
    """The one request that runs now; a file in the folder of the shadow."""

    def __init__(self, directory: Path) -> None:
        """Take note of what ran when the last process ended; waits for one that is still ending.

        Raises OSError.
        """
        self._fd = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.left = _read(self._fd)
        self.clear()

    def set(self, shadowed: Shadowed) -> None:
        """Say what runs, without its values: the record of the live answer has those."""
        outputs = None if shadowed.outputs is None else b""
        os.pwrite(self._fd, encode(replace(shadowed, inputs=b"", outputs=outputs)), 0)

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)


def _read(fd: int) -> Shadowed | None:
    written = os.pread(fd, os.fstat(fd).st_size, 0)
    try:
        return decode(written) if written else None
    except msgspec.DecodeError:  # the process ended while it wrote, and so before it ran
        return None
