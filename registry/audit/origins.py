"""Under which name and key the log is signed: from its first start, through rotation and restore.

Two checkpoints under one name must always be of one tree that grew. A store that is older than what
was published, since somebody restored it, cannot keep that: it goes on under another name.
"""

import secrets
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from msgspec import structs

from registry.audit.keyfile import KeyFile
from registry.audit.published import read_published
from registry.entry import new_record_id
from registry.errors import LogKeyMissing
from registry.reader import Reader
from registry.records import AuditRecord, Kind, Origin, Outcome, SignedCheckpoint
from registry.store import Store, Transaction
from registry.times import to_us
from registry.tlog.note import BadNote, Checkpoint, check_name
from registry.tlog.signing import Signer
from registry.tlog.tiles import TileNodes
from registry.tlog.tree import root_hash

_DEFAULT_NAME = "gateway"


def open_log(
    store: Store, keys: KeyFile, published: Path, *, name: str | None, at: datetime
) -> Origin:
    """Return the name and key that the log is signed under from now on.

    The first start makes both: `name`, or one that nobody else has. A store that lacks what was
    published gets another name, and a record of kind `origin` that says what is missing. Raises
    LogKeyMissing where the key is not there any more, BadNote for a name that no key may have.
    """
    check_name(name or _DEFAULT_NAME)
    with store.write() as tx:
        origins = tx.origins()
        missing = _missing(tx, published, origins)
        if missing is not None:
            return _start_anew(tx, keys, name, missing, at)
        if not origins:
            first = _origin(tx, name or _fresh(_DEFAULT_NAME), keys, at)
            first = structs.replace(first, since=0)  # of what was recorded before it was served
            tx.add_origin(first)
            return first
        keys.signer(origins[-1])
        return origins[-1]


def rotate_key(
    store: Store, keys: KeyFile, *, principal: str, reason: str, at: datetime
) -> tuple[Origin, Origin]:
    """Sign with another key from now on; return the old and the new one.

    The record that names both is covered first by a checkpoint that both sign. Raises LogKeyMissing
    where the old one is not there, or where nothing was ever signed.
    """
    with store.write() as tx:
        origins = tx.origins()
        if not origins:
            raise LogKeyMissing("a log that was never served", "No file")
        old = origins[-1]
        keys.signer(old)
        keys.add()
        new = _origin(tx, old.name, keys, at)
        _give(tx, new, Kind.ROTATION, before=[old], reason=reason, principal=principal)
        return old, new


def replace_lost_key(
    store: Store, keys: KeyFile, *, principal: str, reason: str, at: datetime
) -> tuple[Origin, Origin]:
    """Go on under another name with another key, since nobody can sign with the old one any more.

    Returns both. The record says who decided so, since nothing that the old key signed can.
    """
    with store.write() as tx:
        origins = tx.origins()
        if not origins:
            raise LogKeyMissing("a log that was never served", "No file")
        keys.add()
        new = _origin(tx, _fresh(_base(origins[0].name)), keys, at)
        _give(tx, new, Kind.ORIGIN, before=origins, reason=reason, principal=principal)
        return origins[-1], new


def signing(origins: list[Origin], last: SignedCheckpoint | None) -> list[Origin]:
    """Say under which names and keys the next checkpoint is signed, given the last one.

    The newest signs; one before it under the same name does until a checkpoint has covered the
    record that ended it.
    """
    covered = -1 if last is None else last.size
    following = pairwise(origins)
    ending = [
        old for old, new in following if new.since >= covered and old.name == origins[-1].name
    ]
    return [*ending, origins[-1]]


def _missing(view: Reader, published: Path, origins: list[Origin]) -> str | None:
    """Say what was published and is not in the store; None where all of it is."""
    note = read_published(published)
    if note is None:
        return None
    try:
        checkpoint = Checkpoint.read(note)
    except BadNote:
        return "The published checkpoint cannot be read."
    names = [origin.name for origin in origins]
    if checkpoint.origin in names[:-1] and checkpoint.origin != names[-1]:
        return None  # the present name was given since, and nothing is published under it yet
    size = view.tree_size()
    if checkpoint.origin in names and checkpoint.size <= size:
        nodes = TileNodes(view.tile)
        if root_hash(checkpoint.size, nodes) == checkpoint.root:
            return None
    lines = " ".join(checkpoint.write().splitlines())
    return f"Published was {lines}; the store has {size} records and is not what grew from it."


def _start_anew(
    tx: Transaction, keys: KeyFile, name: str | None, missing: str, at: datetime
) -> Origin:
    origins = tx.origins()
    new = _origin(
        tx, _fresh(name or _base(origins[0].name if origins else _DEFAULT_NAME)), keys, at
    )
    _give(tx, new, Kind.ORIGIN, before=origins, reason=missing, principal=None)
    return new


def _origin(view: Reader, name: str, keys: KeyFile, at: datetime) -> Origin:
    """Name the newest key, from the next record on."""
    vkey = Signer(name, keys.newest()).verifier.write()
    return Origin(name=name, vkey=vkey, since=view.tree_size(), at=at)


def _give(
    tx: Transaction,
    new: Origin,
    kind: Kind,
    *,
    before: list[Origin],
    reason: str,
    principal: str | None,
) -> None:
    """Let the log have another name or key, and record who says so and why."""
    time_ns = to_us(new.at) * 1000
    tx.append(
        AuditRecord(
            id=new_record_id(time_ns),
            kind=kind,
            time=str(time_ns),
            outcome=Outcome.DONE,
            principal=principal,
            subject=new.name,
            reason=reason,
            vkeys=tuple(origin.vkey for origin in (*before[-1:], new)),
        )
    )
    tx.add_origin(new)


def _base(name: str) -> str:
    """Return what a name begins with, whatever made it unlike all others."""
    return name.partition("/")[0] if name.startswith(f"{_DEFAULT_NAME}/") else name


def _fresh(base: str) -> str:
    return f"{base}/{secrets.token_hex(8)}"
