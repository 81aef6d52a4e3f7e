"""What a worker sends of an answered request: one datagram each, and where they meet.

The socket is under the data directory. It is addressed through an open folder, since the address of
a Unix socket has room for about a hundred bytes and a data directory may have a longer name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

# What is larger is shed: a copy of it costs the worker as much as many small requests.
LARGEST = 256 << 10  # bytes
_NAME = "socket"


class Shadowed(Struct, frozen=True, array_like=True):
    """A request that the champion answered, or failed, for the challenger of a rollout.

    `inputs` and `outputs` are in canonical bytes: what the caller sent, and every output of the
    run; None where the champion failed. `record_id` is that of the answer, `segment` the value of
    the parameter that the plan names, as text.
    """

    rollout: str
    record_id: str
    key_id: str
    request_id: str | None
    subject: str | None
    rows: int
    inputs: bytes
    outputs: bytes | None
    latency_us: int
    segment: str | None

    @property
    def size(self) -> int:
        """How many bytes of tensors it holds."""
        return len(self.inputs) + len(self.outputs or b"")


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Shadowed).decode


@contextmanager
def address(directory: Path) -> Iterator[str]:
    """Give the address of the socket in a folder, for as long as the block lasts. Raises OSError"""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{_NAME}"
    finally:
        os.close(folder)
