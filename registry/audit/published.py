"""What is published of the log: its checkpoint, its tiles, and proofs under that checkpoint."""

from pathlib import Path

from registry.errors import InvalidRequest, NotPublished, TileNotFound
from registry.records import Origin
from registry.store import Store
from registry.tlog.note import Checkpoint, write_proof
from registry.tlog.tiles import WIDTH, TileName, TileNodes, bundle_path, tile_path, write_bundle
from registry.tlog.tree import HASH_SIZE, consistency_proof, inclusion_proof


def read_published(path: Path) -> str | None:
    """Return the note of the published checkpoint, or None where nothing was published."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


class PublishedLog:
    """The log as outsiders read it, over a store and the file with the published checkpoint."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path

    def note(self) -> str:
        """Return the published checkpoint, signed. Raises NotPublished where there is none yet."""
        note = read_published(self._path)
        if note is None:
            raise NotPublished("the log")
        return note

    def origins(self) -> list[Origin]:
        """Return the names and keys of the log. Raises NotPublished where it has none yet."""
        origins = self._store.origins()
        if not origins:
            raise NotPublished("the log")
        return origins

    def tile(self, level: int, name: TileName) -> bytes:
        """Return the hashes of a tile. Raises TileNotFound where the tree is not that large."""
        hashes = self._store.tile(level, name.number)[: name.width * HASH_SIZE]
        if len(hashes) < name.width * HASH_SIZE:
            raise TileNotFound(tile_path(level, name))
        return hashes

    def bundle(self, name: TileName) -> bytes:
        """Return a bundle of entries. Raises TileNotFound where not all of them are there."""
        start = name.number * WIDTH
        leaves = self._store.leaves(start, start + name.width)
        if len(leaves) < name.width:
            raise TileNotFound(bundle_path(name))
        return write_bundle(leaves)

    def proof(self, index: int, what: str) -> str:
        """Prove that record `index` is in the published tree, in a text that needs nothing else.

        Raises NotPublished with `what`, which names the record.
        """
        note = self.note()
        size = Checkpoint.read(note).size
        if index >= size:
            raise NotPublished(what)
        return write_proof(index, inclusion_proof(index, size, TileNodes(self._store.tile)), note)

    def consistency(self, old: int, new: int | None) -> tuple[int, list[bytes]]:
        """Prove that the tree of `new` leaves, or the published one, begins with that of `old`.

        Returns the size that was meant, and the hashes. Raises NotPublished for more leaves than
        are published, InvalidRequest where `new` is smaller.
        """
        published = Checkpoint.read(self.note()).size
        size = published if new is None else new
        if size > published:
            raise NotPublished(f"a tree of {size} records")
        if not 0 <= old <= size:
            raise InvalidRequest("from", f"A tree of {size} records has none of {old} before it.")
        return size, consistency_proof(old, size, TileNodes(self._store.tile))
