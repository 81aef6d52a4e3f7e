"""What has come from the workers and waits for the challenger: the newest, and not for long."""

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.logs import logger
from gateway.shadow.wire import LARGEST, Shadowed, address, decode

MOST_WAITING = 512
MOST_WAITING_BYTES = 32 << 20
# A challenger that is behind is compared with what callers ask now.
LONGEST_WAIT_S = 5.0
_AT_ONCE = 64  # datagrams read before the loop does anything else

OLD = "old"  # newer requests took its place, or it waited too long

Shed = Callable[[str, str], None]


class Inbox:
    """A queue between the socket, read on an event loop, and the thread that runs the challenger.

    Where there is no room the oldest goes. `shed` is told of each that goes: its rollout, and why.
    """

    def __init__(self, directory: Path, shed: Shed) -> None:
        """Listen in a folder, in place of whoever did before. Raises OSError."""
        self._shed = shed
        self._waiting: deque[tuple[float, Shadowed]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._buffer = bytearray(LARGEST + 1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with address(directory) as name:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            self._socket.bind(name)

    def listen(self) -> None:
        """Read from now on, on the loop that runs."""
        asyncio.get_running_loop().add_reader(self._socket, self.receive)

    def __len__(self) -> int:
        return len(self._waiting)

    def receive(self) -> None:
        """Take what has come, as much as one turn of the loop may cost."""
        view = memoryview(self._buffer)
        with self._changed, suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                size = self._socket.recv_into(view)
                try:
                    self._put(decode(view[:size]))
                except msgspec.DecodeError:
                    logger.warning("shadow_datagram_unreadable", bytes=size)

    def take(self, timeout_s: float | None = None) -> Shadowed | None:
        """Wait for a request; None where none came in time, or there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, timeout_s)
            while self._waiting and not self._is_closed:
                came, shadowed = self._pop()
                if time.monotonic() - came <= LONGEST_WAIT_S:
                    return shadowed
                self._shed(shadowed.rollout, OLD)
            return None

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Take nothing more; whoever waits is told."""
        with suppress(ValueError):  # it never listened
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _put(self, shadowed: Shadowed) -> None:
        while len(self._waiting) >= MOST_WAITING or (
            self._waiting and self._bytes + shadowed.size > MOST_WAITING_BYTES
        ):
            _, oldest = self._pop()
            self._shed(oldest.rollout, OLD)
        self._waiting.append((time.monotonic(), shadowed))
        self._bytes += shadowed.size
        self._changed.notify()

    def _pop(self) -> tuple[float, Shadowed]:
        came, shadowed = self._waiting.popleft()
        self._bytes -= shadowed.size
        return came, shadowed
