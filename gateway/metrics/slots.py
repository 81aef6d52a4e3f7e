"""Where workers leave their snapshots: one file for each worker's number, replaced whole."""

from pathlib import Path

import msgspec

from gateway.metrics.snapshot import Snapshot

_decoder = msgspec.msgpack.Decoder(Snapshot)
_encoder = msgspec.msgpack.Encoder()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return _encoder.encode(snapshot)


class Slots:
    """The snapshots of all workers, dead ones included, until `gateway serve` starts anew."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def clear(self) -> None:
        """Begin with no counts, in a folder that is there."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for path in self._directory.iterdir():
            path.unlink()

    def write(self, slot: int, snapshot: bytes) -> None:
        """Replace the snapshot of a slot, whole or not at all. Raises OSError.

        Not synced: counts need only outlive the worker, not the machine.
        """
        scratch = self._directory / f"{slot}.new"
        scratch.write_bytes(snapshot)
        scratch.replace(self._path(slot))

    def read(self, slot: int) -> Snapshot | None:
        """Return the last snapshot of a slot, or None."""
        path = self._path(slot)
        return _decoder.decode(path.read_bytes()) if path.exists() else None

    def read_all(self) -> list[Snapshot]:
        """Return the last snapshot of every slot, by number."""
        paths = self._directory.glob("*.msgpack")
        snapshots = [_decoder.decode(path.read_bytes()) for path in paths]
        return sorted(snapshots, key=lambda snapshot: snapshot.slot)

    def _path(self, slot: int) -> Path:
        return self._directory / f"{slot}.msgpack"
