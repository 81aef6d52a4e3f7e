"""A worker's half of the shadow: sends a share of what the champion ran, and never waits.

A request is noted when its caller has the answer, so nothing here is on the way of that one. What
the kernel does not take at once waits, little and briefly, until the process has read; what comes
beyond is shed and counted.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gateway.cases import Case
from gateway.errors import InputNotAccepted, RunFailed, RunTimeout
from gateway.metrics import Metrics
from gateway.protocol.refusal import WITHHELD
from gateway.routing import point
from gateway.shadow.wire import LARGEST, Shadowed, address, encode
from registry.records import Lane, Outcome
from registry.rollouts import POINTS, Rollout
from registry.tensors import Tensor, encode_tensors

# The kernel holds about ten datagrams for a reader; these are for a turn with many requests.
_MOST_WAITING = 128
_MOST_WAITING_BYTES = 1 << 20
_LONGEST_SEGMENT = 64

# What the challenger is shown of requests that the champion did not answer.
ITS_OWN_FAULTS = frozenset({RunFailed.slug, RunTimeout.slug, InputNotAccepted.slug, WITHHELD})

FULL = "full"  # the process does not read as fast
TOO_LARGE = "too-large"
ABSENT = "absent"  # no process listens


class Sender:
    """Sends to the shadow process that listens in a folder, if one does; on one event loop."""

    def __init__(self, directory: Path, metrics: Metrics) -> None:
        self._directory = directory
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._noted: list[tuple[Rollout, Case]] = []
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._socket: socket.socket | None = None
        self._is_watching = False  # for room in the kernel

    def note(self, case: Case, shadows: Mapping[str, Sequence[Rollout]]) -> None:
        """Take a case whose caller has its reply, for each rollout in shadow that it falls to.

        `shadows` has those of each model.
        """
        served = case.served
        if served is None or case.lane is not Lane.CHAMPION or not _was_run(case):
            return
        for rollout in shadows.get(served.model, ()):
            if rollout.champion == served.number and is_shadowed(rollout, case.record_id):
                if not self._noted:
                    self._loop.call_soon(self._send)
                self._noted.append((rollout, case))

    def close(self) -> None:
        """Let go of what waits."""
        self._waiting.clear()
        self._disconnect()

    def _send(self) -> None:
        noted, self._noted = self._noted, []
        for rollout, case in noted:
            self._enqueue(rollout, case)
            if not self._is_watching:
                self._flush()

    def _enqueue(self, rollout: Rollout, case: Case) -> None:
        if len(self._waiting) >= _MOST_WAITING or self._bytes >= _MOST_WAITING_BYTES:
            self._metrics.shed(rollout.id, FULL)
            return
        datagram = _datagram(rollout, case)
        if datagram is None:
            self._metrics.shed(rollout.id, TOO_LARGE)
            return
        self._waiting.append((rollout.id, datagram))
        self._bytes += len(datagram)

    def _flush(self) -> None:
        """Send what waits as far as the kernel takes it; the rest follows when it has room."""
        while self._waiting:
            rollout, datagram = self._waiting[0]
            try:
                self._connected().send(datagram)
            except BlockingIOError:
                self._watch()
                return
            except (FileNotFoundError, ConnectionError):
                if self._socket is not None:  # another process may listen by now
                    self._disconnect()
                    continue
                self._shed_all(ABSENT)
                return
            except OSError as error:
                is_large = error.errno == errno.EMSGSIZE  # for this kernel
                self._metrics.shed(rollout, TOO_LARGE if is_large else FULL)
            self._waiting.popleft()
            self._bytes -= len(datagram)
        self._unwatch()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LARGEST)
                with address(self._directory) as name:
                    sender.connect(name)
            except OSError:
                sender.close()
                raise
            self._socket = sender
        return self._socket

    def _disconnect(self) -> None:
        self._unwatch()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _watch(self) -> None:
        if not self._is_watching and self._socket is not None:
            self._loop.add_writer(self._socket, self._flush)
            self._is_watching = True

    def _unwatch(self) -> None:
        if self._is_watching and self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._is_watching = False

    def _shed_all(self, reason: str) -> None:
        for rollout, _ in self._waiting:
            self._metrics.shed(rollout, reason)
        self._waiting.clear()
        self._bytes = 0


def is_shadowed(rollout: Rollout, record_id: str) -> bool:
    """Say whether an answer belongs to the share that a challenger shadows."""
    share = rollout.shadow_points
    return share >= POINTS or (share > 0 and point(rollout.salt, record_id) < share)


def _was_run(case: Case) -> bool:
    """Say whether the champion has answered, or has failed by itself and not for want of room."""
    if case.outcome is Outcome.ANSWERED:
        return True
    return case.refusal is not None and case.refusal.code in ITS_OWN_FAULTS


def _datagram(rollout: Rollout, case: Case) -> bytes | None:
    """Write down a case; None where it is larger than a datagram may be."""
    request = case.request
    assert request is not None
    if _size(request.tensors.values()) + _size(case.values.values()) > LARGEST:
        return None
    datagram = encode(
        Shadowed(
            rollout=rollout.id,
            record_id=case.record_id,
            key_id=case.key.id,
            request_id=request.id,
            subject=request.subject,
            rows=request.rows,
            inputs=encode_tensors(request.tensors),
            outputs=encode_tensors(case.values) if case.outcome is Outcome.ANSWERED else None,
            latency_us=case.elapsed_ns // 1000,
            segment=_segment(rollout, case),
        )
    )
    return datagram if len(datagram) <= LARGEST else None


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _segment(rollout: Rollout, case: Case) -> str | None:
    assert case.request is not None
    name = rollout.plan.segment
    value = None if name is None else case.request.parameters.get(name)
    return None if value is None else str(value)[:_LONGEST_SEGMENT]
