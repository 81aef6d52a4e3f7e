"""Logs to check, made by the writer: a store with records, payloads and signed checkpoints."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.entry import Entry, Payload, commit, encode_record
from registry.records import AuditRecord, Kind, Lane, Origin, Outcome, SignedCheckpoint
from registry.store import Store, open_store
from registry.tlog.note import Checkpoint
from registry.tlog.signing import Signer, sign_note
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash

ORIGIN = "example.com/log"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
VKEY = SIGNER.verifier.write()

_START_MS = 1_760_000_000_000


def make_entry(number: int) -> Entry:
    """Make the entry of an answered inference, the same for a number each time."""
    time_ms = _START_MS + number
    salt = number.to_bytes(32, "big")
    payload = Payload(salt, b"input %d" % number, b"output %d" % number)
    record = AuditRecord(
        id=str(UUID(int=time_ms << 80 | 7 << 76 | 2 << 62 | number)),
        kind=Kind.INFERENCE,
        time=str(time_ms * 1_000_000),
        outcome=Outcome.ANSWERED,
        principal="key_1",
        request_id=f"request-{number}",
        model="flights",
        version=2,
        lane=Lane.CHAMPION,
        rows=1,
        input=commit(salt, payload.input or b""),
        output=commit(salt, payload.output or b""),
    )
    return Entry(encode_record(record), payload)


def write_log(data_dir: Path, sizes: Sequence[int]) -> Store:
    """Write a store whose log was signed when it had each of these sizes."""
    data_dir.mkdir(parents=True, exist_ok=True)
    store = open_store(data_dir)
    with store.write() as tx:
        tx.add_origin(Origin(name=ORIGIN, vkey=VKEY, since=0, at=datetime.now(UTC)))
    for size in sizes:
        extend(store, size)
        sign(store)
    return store


def extend(store: Store, size: int) -> None:
    """Grow the log to a size."""
    start = store.tree_size()
    entries = [make_entry(number) for number in range(start, size)]
    store.integrate("segment", start, size, entries)


def sign(store: Store, signer: Signer = SIGNER) -> str:
    """Sign the log as it is, and return the note."""
    with store.write() as tx:
        size = tx.tree_size()
        root = root_hash(size, TileNodes(tx.tile))
        note = sign_note(Checkpoint(ORIGIN, size, root).write(), [signer])
        tx.add_checkpoint(
            SignedCheckpoint(size=size, root=root, note=note, signed=datetime.now(UTC))
        )
    return note
