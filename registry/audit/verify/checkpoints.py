"""Checkpoints (C2SP tlog-checkpoint): the size and root of a log, signed by its key."""

from collections.abc import Sequence
from dataclasses import dataclass

from registry.audit.verify.encoding import read_base64, read_number
from registry.audit.verify.faults import Malformed, Mismatch
from registry.audit.verify.notes import ED25519, Signature, VerifierKey, open_note
from registry.audit.verify.proofs import EMPTY_ROOT, HASH_SIZE


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was signed: the log's origin, how many records it had, and their root."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """What whoever checks brings along: nothing of it is taken from the log itself.

    `keys` are those of the log, `saved` are checkpoints of it from earlier. Without keys those that
    lie beside the log have to do.
    """

    keys: tuple[VerifierKey, ...] = ()
    witnesses: tuple[VerifierKey, ...] = ()
    saved: tuple[bytes, ...] = ()


def open_checkpoint(
    note: bytes, keys: Sequence[VerifierKey], *, witnesses: Sequence[VerifierKey] = ()
) -> Checkpoint:
    """Return a checkpoint that is signed by its log with one of the keys, and by every witness.

    The key must bear the origin as its name, so that a checkpoint of another log under the same
    key does not pass for one of this. Extension lines are refused: this log writes none, and
    nothing but its signature holds them. Raises Malformed and Mismatch.
    """
    text, signatures = open_note(note, [*keys, *witnesses])
    lines = text[:-1].split("\n")
    if len(lines) != 3 or not lines[0]:
        raise Malformed("checkpoint", "is not an origin, a size and a root")
    origin = lines[0]
    size = read_number(lines[1], "checkpoint's size")
    root = read_base64(lines[2], "checkpoint's root", size=HASH_SIZE)
    if size == 0 and root != EMPTY_ROOT:
        raise Mismatch("The checkpoint of an empty log has another root than the empty one.")
    if not any(one.key.kind == ED25519 and one.key.name == origin for one in signatures):
        raise Mismatch(f"The checkpoint of {origin} is not signed by a key of that name.")
    signers = {one.key for one in signatures}
    for witness in witnesses:
        if witness not in signers:
            raise Mismatch(f"The checkpoint of {origin} is not signed by {witness.name}.")
    return Checkpoint(origin, size, root, tuple(signatures))
