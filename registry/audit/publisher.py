"""Signs the head of the log: first it is kept in the store, and only then does anybody see it."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from registry.audit.keyfile import KeyFile
from registry.audit.origins import signing
from registry.audit.published import read_published
from registry.files import put_whole
from registry.records import SignedCheckpoint
from registry.store import Store
from registry.times import now
from registry.tlog.note import Checkpoint
from registry.tlog.signing import sign_note
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash

SIGN_AFTER_S = 1.0
SIGN_AFTER_RECORDS = 1_000
# Publishing syncs the disk that workers wait for, so that even many records wait this long.
SIGN_NOT_BEFORE_S = 0.25
_MODE = 0o600


class Publisher:
    """Publishes checkpoints of a store into a file; the log must have been opened.

    Records are under a published checkpoint a second after they are in the tree, or sooner where
    many wait. A kill at any moment leaves at worst a checkpoint that is kept and not published: it
    is published at the next start. `on_published` is told of each. Any thread may call.
    """

    def __init__(
        self,
        store: Store,
        keys: KeyFile,
        path: Path,
        *,
        on_published: Callable[[SignedCheckpoint], None] = lambda signed: None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._store = store
        self._keys = keys
        self._path = path
        self._on_published = on_published
        self._clock = clock
        self._lock = threading.Lock()
        self._published: SignedCheckpoint | None = None
        self._signed_at = 0.0

    @property
    def size(self) -> int:
        """How many records the published checkpoint covers."""
        return 0 if self._published is None else self._published.size

    def publish_if_due(self) -> None:
        """Publish a checkpoint if the tree has grown, and a second or many records have passed."""
        waiting = self._store.tree_size() - self.size
        patience_s = SIGN_NOT_BEFORE_S if waiting >= SIGN_AFTER_RECORDS else SIGN_AFTER_S
        is_due = waiting > 0 and time.monotonic() - self._signed_at >= patience_s
        if is_due or self._published is None:
            self.publish()

    def publish(self) -> None:
        """Publish a checkpoint of the tree as it is.

        Raises Conflict where the tree is not what was signed before grown, LogKeyMissing,
        StoreUnavailable, and OSError where the file cannot be written.
        """
        with self._lock:
            is_first = self._published is None
            signed, signers = self._sign()
            self._signed_at = time.monotonic()
            self._put(signed)
        if is_first or signers > 1:
            self._forget_old_keys()
        self._on_published(signed)

    def add_signature(self, size: int, line: str) -> None:
        """Add a witness's line to the checkpoint of this size, and to the file if it is there."""
        with self._lock:
            with self._store.write() as tx:
                signed = tx.checkpoint()
                if signed is None or signed.size != size or line in signed.note:
                    return
                signed = msgspec.structs.replace(signed, note=signed.note + line)
                tx.amend_checkpoint(size, signed.note)
            if size == self.size:
                self._put(signed)

    def _sign(self) -> tuple[SignedCheckpoint, int]:
        """Sign the tree as it is, unless it is signed already, and count the keys that did."""
        with self._store.write() as tx:
            last, origins, size = tx.checkpoint(), tx.origins(), tx.tree_size()
            name = origins[-1].name
            if last is not None and last.size == size and Checkpoint.read(last.note).origin == name:
                return last, 0
            root = root_hash(size, TileNodes(tx.tile))
            signers = [self._keys.signer(origin) for origin in signing(origins, last)]
            note = sign_note(Checkpoint(name, size, root).write(), signers)
            signed = SignedCheckpoint(size=size, root=root, note=note, signed=self._clock())
            tx.add_checkpoint(signed)
            return signed, len(signers)

    def _put(self, signed: SignedCheckpoint) -> None:
        if read_published(self._path) != signed.note:
            put_whole(self._path, signed.note.encode(), _MODE)
        self._published = signed

    def _forget_old_keys(self) -> None:
        """Destroy the keys that have signed for the last time."""
        with self._store.write() as tx:
            self._keys.keep(signing(tx.origins(), tx.checkpoint()))
